"""Plan a run: what to measure, in which order and on which CPUs. No I/O."""
