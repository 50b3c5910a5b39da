package shop;

import java.util.List;

/** Just enough JSON for the replies. */
final class Json {
  private Json() {}

  static String array(List<String> items) {
    return "[" + String.join(",", items) + "]";
  }

  static String object(Object... keysAndValues) {
    StringBuilder text = new StringBuilder("{");
    for (int i = 0; i < keysAndValues.length; i += 2) {
      text.append(i == 0 ? "" : ",").append(quote(keysAndValues[i])).append(':');
      Object value = keysAndValues[i + 1];
      text.append(value instanceof Number ? value.toString() : quote(value));
    }
    return text.append('}').toString();
  }

  private static String quote(Object value) {
    return '"' + value.toString().replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }
}
