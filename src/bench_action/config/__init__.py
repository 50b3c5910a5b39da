"""`bench.yml`, presets and base's configuration as checked models."""
