"""Read URLs that others have written: servers, and the authors of lists. Pure."""

from urllib.parse import SplitResult, urljoin, urlsplit


def split_url(url: str, base: str = "") -> SplitResult | None:
    """Split a URL, which may be relative to `base`, into its parts; None if it cannot be read, such as `//[`."""
    try:
        return urlsplit(urljoin(base, url))
    except ValueError:
        return None
