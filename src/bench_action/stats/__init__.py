"""Estimators, intervals and tests. No I/O; the sample is always the block, never the request."""
