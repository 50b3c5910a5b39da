"""WHAT runs: services, subjects, their databases, and when they are ready."""
