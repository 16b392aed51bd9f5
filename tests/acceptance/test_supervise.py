"""The stand-in for a platform leaves nothing of a server behind, whatever sessions its workers are in."""

import json
import subprocess
import sys
from pathlib import Path

from tests.acceptance import supervise
from tests.acceptance.processes import alive, eventually

SERVER = """
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
with open(sys.argv[1] + ".new", "w") as told:
    told.write(str(worker.pid))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""


def test_a_worker_in_a_session_of_its_own_ends_with_its_server(tmp_path: Path) -> None:
    """BentoML's are: killing the server's process group alone would leave them serving on its socket."""
    told = tmp_path / "worker"
    command = [sys.executable, "-c", SERVER, str(told)]
    env = {"MODEL_HOME": str(tmp_path / "model")}
    (tmp_path / "server.json").write_text(json.dumps({"command": command, "env": env}))
    subprocess.run([sys.executable, supervise.__file__, "restart", str(tmp_path)], check=True, timeout=30)
    try:
        eventually(told.exists, within=20, what="the worker runs")
        worker = int(told.read_text())
        assert {worker, int((tmp_path / "pid").read_text())} <= set(supervise.members(tmp_path))
    finally:
        supervise.stop(tmp_path)
    assert not alive(worker)
    assert supervise.members(tmp_path) == []
