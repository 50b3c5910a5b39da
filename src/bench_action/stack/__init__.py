"""Start everything that a run needs: services, databases and subjects."""
