"""What to measure, in which order, on which CPUs. No I/O."""
