"""Fill the services of a slot with the seed, and check later that it is still there."""
