"""`bench-action`, and `python -m bench_action`: until a command can clean up, a signal only ends the process."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run a command. Importing it takes half a second, in which there is nothing yet to clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    from bench_action.cli.app import main as run  # noqa: PLC0415 (the handlers come first)

    run()


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    main()
