"""Make names that a configuration allows."""

import re


def make_name(text: str) -> str:
    """Make a name of `bench.yml`: small letters, digits and single hyphens, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (name if name[:1].isalpha() else f"s-{name}".rstrip("-"))[:40].rstrip("-")
