package shop;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Map;

/** Where connections come from. */
public interface Database {
  Connection getConnection() throws SQLException;

  /** Connects to DATABASE_URL as DATABASE_USER. */
  static Database connect(Map<String, String> environment) {
    HikariConfig config = new HikariConfig();
    config.setJdbcUrl(environment.get("DATABASE_URL"));
    config.setUsername(environment.get("DATABASE_USER"));
    config.setPassword(environment.get("DATABASE_PASSWORD"));
    config.setMaximumPoolSize(8);
    return new HikariDataSource(config)::getConnection;
  }
}
