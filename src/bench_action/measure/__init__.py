"""Walk the plan: one trial after the other."""
