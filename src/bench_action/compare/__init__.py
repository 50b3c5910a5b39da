"""Trials to comparisons, findings and a verdict. No I/O."""
