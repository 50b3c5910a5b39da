"""The load generator: wrk in a container of its own, and what else must be sent from there."""
