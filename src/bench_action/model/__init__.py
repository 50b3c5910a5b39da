"""Immutable types that every layer shares. No I/O."""
