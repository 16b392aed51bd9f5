"""A model behind Flask, as EAS's own page has it; its `GET /` says whether it can answer, for the health checks."""

import json
import os
import threading
import time

from flask import Flask, Response, make_response, request

app = Flask(__name__)
loaded = threading.Event()


@app.get("/")
def health() -> Response:
    """What the checks ask: cheap, and honest while the model loads."""
    return make_response("ok" if loaded.is_set() else "loading", 200 if loaded.is_set() else 503)


@app.post("/")
def predict() -> Response:
    if not loaded.is_set():
        return make_response("loading", 503)
    return make_response(process(json.loads(request.get_data())), 200)


def process(data: object) -> str:
    """The prediction."""
    return f"result for {data}"


def load() -> None:
    """Stands for reading the model's weights, which takes MODEL_LOAD_SECONDS."""
    time.sleep(float(os.environ.get("MODEL_LOAD_SECONDS", "0")))
    loaded.set()


if __name__ == "__main__":
    threading.Thread(target=load, daemon=True).start()
    # 0.0.0.0: EAS's checks come from outside the container. The port is the one that service.json names.
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", "8000")))
