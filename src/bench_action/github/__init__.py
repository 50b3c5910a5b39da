"""What is GitHub's: the event that started us, its REST API, and the commands of a workflow's log."""
