"""Restarts the server of DIR/server.json as a slow platform does: `slow_platform.py DIR` is an action with moments.

It writes `begun` and `ended` to DIR/actions, and `conflict` where another one runs at that time. The old instance is
ended after a second, and the new one comes a while after the action is over.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.acceptance import supervise

BEFORE_SECONDS = 1.0
AFTER_SECONDS = 2.0


def note(home: Path, word: str) -> None:
    with (home / "actions").open("a") as file:
        file.write(f"{word}\n")


def main() -> None:
    home = Path(sys.argv[1])
    if len(sys.argv) > 2:  # the part that goes on when the action is over
        time.sleep(AFTER_SECONDS)
        supervise.start(home)
        return
    try:
        os.close(os.open(home / "lock", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        note(home, "conflict")
        return
    note(home, "begun")
    time.sleep(BEFORE_SECONDS)
    supervise.stop(home)
    with Path(os.devnull).open("r+b") as nothing:
        command = [sys.executable, "-m", "tests.acceptance.slow_platform", str(home), "later"]
        subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    (home / "lock").unlink()
    note(home, "ended")


if __name__ == "__main__":
    main()
