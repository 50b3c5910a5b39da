"""Commands: the only reader of the environment, and the only place that turns an error into an exit status."""
