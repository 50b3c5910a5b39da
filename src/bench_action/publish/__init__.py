"""Put a result where people look for it."""
