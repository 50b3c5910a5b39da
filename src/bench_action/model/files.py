"""Which files of a repository are never copied into a container."""

# What the checkout of another revision does not have either: both revisions must get the same.
NEVER_COPIED = frozenset({".git", "node_modules", ".venv", "venv", "__pycache__"})
