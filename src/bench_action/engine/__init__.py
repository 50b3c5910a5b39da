"""Where things run. The layers above know only `protocol`."""
