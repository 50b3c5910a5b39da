"""What to buy."""

from collections import Counter
from collections.abc import Iterable


def list_ingredients(recipes: Iterable[list[str]]) -> list[dict[str, object]]:
    """Count every ingredient, in the order in which the recipes name them."""
    counts = Counter(ingredient for recipe in recipes for ingredient in recipe)
    return [{"name": name, "count": count} for name, count in counts.items()]
