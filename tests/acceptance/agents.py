"""The installed `health-agent` command, started on a document and asked over HTTP."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.acceptance.processes import Running, eventually, free_port

COMMAND = Path(sys.executable).with_name("health-agent")


class Agent:
    """A running agent with its document (a dict, written as JSON) and its log."""

    def __init__(self, home: Path, document: dict[str, Any], *arguments: str) -> None:
        self.port = free_port()
        document = {**document, "server": {"host": "127.0.0.1", "port": self.port, "details": "full"}}
        (home / "config.yaml").write_text(json.dumps(document))
        self.running = Running([COMMAND, "run", "--config", home / "config.yaml", *arguments], home / "agent.log")
        eventually(lambda: self.ask("/-/ready") == 200, within=20, what="the agent listens", story=self.running.output)

    def fetch(self, path: str) -> tuple[int, str]:
        """Status and body; 0 and the error where nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()
        except OSError as error:
            return 0, str(error)

    def ask(self, path: str) -> int:
        return self.fetch(path)[0]

    def model(self) -> dict[str, Any]:
        """What /status says of the only container."""
        _, body = self.fetch("/status")
        found: dict[str, Any] = json.loads(body)["containers"][0]
        return found

    def outcomes(self) -> list[str]:
        """How each restart so far ended; "" for one under way."""
        return [record["outcome"] for record in self.model()["restarts"]]

    def await_status(self, path: str, status: int, *, within: float) -> None:
        eventually(
            lambda: self.ask(path) == status, within=within, what=f"{path} answers {status}", story=self.running.output
        )
