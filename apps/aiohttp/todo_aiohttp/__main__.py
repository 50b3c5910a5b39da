"""`python -m todo_aiohttp`: serve as the environment configures it."""

import logging
import os
import sys

from todo_aiohttp.config import Config
from todo_aiohttp.server import serve
from todo_aiohttp.supervisor import supervise


def main() -> int:
    """Serve, and return the exit status."""
    logging.basicConfig(level=logging.WARNING)
    config = Config.from_environment(os.environ)
    if config.tuned:
        return supervise(config)
    serve(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
