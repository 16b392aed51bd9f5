"""The command `health-agent`, also as `python -m agent`."""

import sys

from agent.cli import main as dispatch


def main() -> int:
    return dispatch(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
