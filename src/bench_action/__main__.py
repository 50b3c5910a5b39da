"""`python -m bench_action` is `bench-action`."""

from bench_action.cli.app import main

if __name__ == "__main__":
    main()
