"""GitHub's side of a job: the event that started it, the REST API, and commands to the runner."""
