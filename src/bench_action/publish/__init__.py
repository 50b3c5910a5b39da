"""Publish a result: comment, summary, annotations, outputs, and the history."""
