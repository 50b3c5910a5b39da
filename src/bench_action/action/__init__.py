"""What exists only inside a workflow."""
