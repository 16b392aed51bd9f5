"""Users of a model server: so many at once, each with its next request as soon as the last one is answered."""

import json
import threading
import urllib.request
from contextlib import suppress
from types import TracebackType
from typing import Self

GIVE_UP_SECONDS = 60.0


class Users:
    """A context manager; ``answered`` counts what was answered to all of them."""

    def __init__(self, url: str, count: int = 32) -> None:
        self.url = url
        self.answered = 0
        self._left = threading.Event()
        self._threads = [threading.Thread(target=self._use, daemon=True) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._left.set()  # threads that wait for a hung server are daemons: nobody waits for them

    def _use(self) -> None:
        body = json.dumps({"input": 3}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310 - a loopback server
        while not self._left.is_set():
            with suppress(OSError):
                with urllib.request.urlopen(request, timeout=GIVE_UP_SECONDS) as answer:  # noqa: S310
                    answer.read()
                self.answered += 1
                continue
            self._left.wait(0.1)
