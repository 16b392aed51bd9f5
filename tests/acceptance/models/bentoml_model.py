"""A model for a real BentoML server: squares a number; loads as slowly, and hangs as long, as the environment says.

Run as a program it becomes `bentoml serve` of the service below.
"""

import os
import sys
import time
from pathlib import Path

import bentoml


@bentoml.service(workers=1, traffic={"timeout": 600, "max_concurrency": 64})
class Square:
    def __init__(self) -> None:
        time.sleep(float(os.environ.get("MODEL_LOAD_SECONDS", "0")))
        Path(os.environ["MODEL_WORKER_PID_FILE"]).write_text(str(os.getpid()))

    @bentoml.api
    def predict(self, input: float) -> float:  # noqa: A002 - the key of the request
        while Path(os.environ["MODEL_DEADLOCK_FILE"]).exists():
            time.sleep(0.05)
        time.sleep(float(os.environ.get("MODEL_PREDICT_SECONDS", "0")))
        return input**2


if __name__ == "__main__":
    os.environ["BENTOML_DO_NOT_TRACK"] = "true"
    os.environ["BENTOML_HOME"] = os.environ["MODEL_HOME"]
    arguments = ["serve", "bentoml_model:Square", "--host", "127.0.0.1", "--port", sys.argv[1]]
    program = Path(sys.executable).with_name("bentoml")
    os.chdir(Path(__file__).parent)
    os.execv(sys.executable, [sys.executable, str(program), *arguments])
