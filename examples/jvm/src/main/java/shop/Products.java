package shop;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What is for sale. */
public final class Products {
  public record Product(int id, String name, int price) {
    public String toJson() {
      return Json.object("id", id, "name", name, "price", price);
    }
  }

  private final Database database;

  public Products(Database database) {
    this.database = database;
  }

  public List<String> list(int limit) throws SQLException {
    try (Connection connection = database.getConnection();
        PreparedStatement statement =
            connection.prepareStatement("SELECT id, name, price FROM product ORDER BY id LIMIT ?")) {
      statement.setInt(1, limit);
      List<String> products = new ArrayList<>();
      try (ResultSet rows = statement.executeQuery()) {
        while (rows.next()) {
          products.add(read(rows).toJson());
        }
      }
      return products;
    }
  }

  public Optional<Product> find(int id) throws SQLException {
    try (Connection connection = database.getConnection();
        PreparedStatement statement = connection.prepareStatement("SELECT id, name, price FROM product WHERE id = ?")) {
      statement.setInt(1, id);
      try (ResultSet rows = statement.executeQuery()) {
        return rows.next() ? Optional.of(read(rows)) : Optional.empty();
      }
    }
  }

  public boolean order(int id) throws SQLException {
    try (Connection connection = database.getConnection();
        PreparedStatement statement =
            connection.prepareStatement("INSERT INTO purchase (product_id) SELECT id FROM product WHERE id = ?")) {
      statement.setInt(1, id);
      return statement.executeUpdate() == 1;
    }
  }

  private static Product read(ResultSet rows) throws SQLException {
    return new Product(rows.getInt("id"), rows.getString("name"), rows.getInt("price"));
  }
}
