"""Generate load: wrk in its own container, and the agent that sends everything else from there."""
