"""A model for a real mosec server: squares a number; how slowly, and how long it hangs, the environment says."""

import os
import time
from pathlib import Path

from mosec import Server, Worker


class Square(Worker):
    def __init__(self) -> None:
        super().__init__()
        time.sleep(float(os.environ.get("MODEL_LOAD_SECONDS", "0")))
        Path(os.environ["MODEL_WORKER_PID_FILE"]).write_text(str(os.getpid()))

    def forward(self, data: dict[str, float]) -> dict[str, float]:
        while Path(os.environ["MODEL_DEADLOCK_FILE"]).exists():
            time.sleep(0.05)
        time.sleep(float(os.environ.get("MODEL_PREDICT_SECONDS", "0")))
        return {"output": data["input"] ** 2}


if __name__ == "__main__":
    server = Server()
    server.append_worker(Square, num=1)
    server.run()
