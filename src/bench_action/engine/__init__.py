"""WHERE things run. `protocol` is all that the layers above know."""
