"""Estimators and intervals. No I/O; the sample is always the block, never the request."""
