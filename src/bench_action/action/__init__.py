"""What exists only inside a workflow: the action's inputs, its step, and the revisions that an event compares."""
