"""Stands in for a platform: `supervise.py restart DIR` ends the server of DIR/server.json and starts it anew.

It is the command of the agent's `exec` action in these tests, and it starts the first instance too.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

GONE_WITHIN_SECONDS = 10
AWAY_SECONDS = 1  # as with an engine or a kubelet: who is back within half a second was not seen to be away


def stop(home: Path) -> None:
    """SIGKILL everything that the server consists of, and wait until nothing of it runs."""
    deadline = time.monotonic() + GONE_WITHIN_SECONDS
    while time.monotonic() < deadline and (found := members(home)):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def members(home: Path) -> list[int]:
    """The server's processes that still run: those of its group, and workers that it gave a session of their own.

    One that only waits to be reaped does not run.
    """
    try:
        group = int((home / "pid").read_text())
    except FileNotFoundError:
        return []
    mark = f"MODEL_HOME={json.loads((home / 'server.json').read_text())['env'].get('MODEL_HOME')}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            ours = int(fields[2]) == group or mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if ours and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def start(home: Path) -> None:
    server = json.loads((home / "server.json").read_text())
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            server["command"],
            env={**os.environ, **server["env"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (home / "pid.new").write_text(str(process.pid))
    (home / "pid.new").rename(home / "pid")
    with (home / "instances").open("a") as instances:
        instances.write(f"{process.pid}\n")


def main() -> None:
    verb, home = sys.argv[1], Path(sys.argv[2])
    stop(home)
    if verb == "restart":
        if (home / "pid").exists():
            time.sleep(AWAY_SECONDS)
        start(home)


if __name__ == "__main__":
    main()
