package shop;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.util.concurrent.Executors;

/** Serves products: `GET /health`, `GET /products`, `GET /products/ID` and `POST /products/ID/orders`. */
public final class Server {
  private record Reply(int status, String body) {}

  private final Products products;

  private Server(Products products) {
    this.products = products;
  }

  public static void main(String[] arguments) throws IOException {
    Server shop = new Server(new Products(Database.connect(System.getenv())));
    HttpServer server = HttpServer.create(new InetSocketAddress(8080), 1024);
    server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
    server.createContext("/", shop::handle);
    server.start();
  }

  private void handle(HttpExchange exchange) throws IOException {
    try (exchange) {
      Reply reply;
      try {
        reply = answer(exchange.getRequestMethod(), exchange.getRequestURI().getPath().split("/"));
      } catch (SQLException error) {
        reply = new Reply(500, Json.object("error", "the database does not answer"));
        System.err.println(error);
      }
      byte[] body = reply.body().getBytes(StandardCharsets.UTF_8);
      exchange.getResponseHeaders().set("Content-Type", "application/json");
      exchange.sendResponseHeaders(reply.status(), body.length);
      exchange.getResponseBody().write(body);
    }
  }

  private Reply answer(String method, String[] path) throws SQLException {
    String resource = path.length > 1 ? path[1] : "";
    if (method.equals("GET") && path.length == 2 && resource.equals("health")) {
      return new Reply(200, Json.object("status", "ok"));
    }
    if (!resource.equals("products")) {
      return new Reply(404, Json.object("error", "not found"));
    }
    if (method.equals("GET") && path.length == 2) {
      return new Reply(200, Json.array(products.list(20)));
    }
    if (path.length < 3 || !path[2].matches("[0-9]{1,9}")) {
      return new Reply(404, Json.object("error", "not found"));
    }
    int id = Integer.parseInt(path[2]);
    if (method.equals("POST") && path.length == 4 && path[3].equals("orders")) {
      return products.order(id) ? new Reply(201, Json.object("ordered", id)) : new Reply(404, Json.object("error", "no such product"));
    }
    return products.find(id).map(product -> new Reply(200, product.toJson())).orElseGet(() -> new Reply(404, Json.object("error", "no such product")));
  }
}
