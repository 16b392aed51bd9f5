"""A model for a real LitServe server: squares a number; how slowly, and how long it hangs, the environment says."""

import os
import sys
import time
from pathlib import Path

import litserve


class Square(litserve.LitAPI):
    def setup(self, device: str) -> None:
        time.sleep(float(os.environ.get("MODEL_LOAD_SECONDS", "0")))
        Path(os.environ["MODEL_WORKER_PID_FILE"]).write_text(str(os.getpid()))

    def decode_request(self, request: dict[str, float]) -> float:
        return request["input"]

    def predict(self, x: float) -> float:
        while Path(os.environ["MODEL_DEADLOCK_FILE"]).exists():
            time.sleep(0.05)
        time.sleep(float(os.environ.get("MODEL_PREDICT_SECONDS", "0")))
        return x**2

    def encode_response(self, output: float) -> dict[str, float]:
        return {"output": output}


if __name__ == "__main__":
    server = litserve.LitServer(Square(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
