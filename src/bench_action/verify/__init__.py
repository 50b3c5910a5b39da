"""Prove that all subjects do the same work."""
