"""`python -m sandwich`: the console command, whichever installed package brings it."""

import sys
from importlib.metadata import entry_points


def main() -> None:
    """Call the console command `sandwich`; one line where none is installed."""
    commands = entry_points(group="console_scripts", name="sandwich")
    if not commands:
        sys.exit("no console command `sandwich` is installed: pip install the project first")
    next(iter(commands)).load()()


if __name__ == "__main__":
    main()
