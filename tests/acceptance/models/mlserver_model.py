"""A model for a real MLServer: squares a number; loads as slowly, and hangs as long, as the environment says.

Run as a program it writes the settings of a server with one model and becomes `mlserver start`; `parallel` is the
number of worker processes, 0 for predictions within the server's own process.
"""

import json
import os
import sys
import time
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Square(MLModel):
    async def load(self) -> bool:
        time.sleep(float(os.environ.get("MODEL_LOAD_SECONDS", "0")))
        Path(os.environ["MODEL_WORKER_PID_FILE"]).write_text(str(os.getpid()))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        # Not awaited, on purpose: a model computes, and its worker does nothing else meanwhile.
        while Path(os.environ["MODEL_DEADLOCK_FILE"]).exists():
            time.sleep(0.05)
        time.sleep(float(os.environ.get("MODEL_PREDICT_SECONDS", "0")))
        numbers = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("output", numbers**2)])


def settings(home: Path, port: int, parallel: int) -> None:
    """The two files that `mlserver start` reads, and this module beside them."""
    home.mkdir(exist_ok=True)
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    server = {"host": "127.0.0.1", "parallel_workers": parallel, **ports, "metrics_dir": str(home / "metrics")}
    (home / "settings.json").write_text(json.dumps(server))
    model = {"name": "square", "implementation": "mlserver_model.Square"}
    (home / "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    folder = Path(os.environ["MODEL_HOME"])
    settings(folder, int(sys.argv[1]), int(sys.argv[2]))
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = here
    program = Path(sys.executable).with_name("mlserver")
    os.execv(sys.executable, [sys.executable, str(program), "start", str(folder)])
