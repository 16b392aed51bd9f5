"""Finds a running agent's admin listener and gives it orders; for `admin` and `drain`."""

import http.client
import json
import os
import socket
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from agent.cli.arguments import add_config, add_reading
from agent.cli.client import CannotAskError
from agent.core.verdict import no_such

ASK_SECONDS: Final = 10.0
REMEDY: Final = (
    "give --admin SOCKET or --admin http://127.0.0.1:PORT with --token-file FILE, or write an `admin:` block into the "
    "configuration that the agent runs with, e.g. admin: {socket: /run/health-agent/admin.sock}"
)


class NoListenerError(Exception):
    """Nobody knows where the admin listener is; the message holds the remedy."""


class RefusedError(Exception):
    """The agent does not do what it was told; the message is its own."""


def add_door(parser: ArgumentParser) -> None:
    """The options that say where the admin listener is."""
    parser.add_argument(
        "--admin", metavar="SOCKET|URL", help="the admin listener; else as the configuration that `run` reads says"
    )
    parser.add_argument("--token-file", metavar="FILE", help="file with the token that a loopback listener wants")
    add_config(parser)
    add_reading(parser)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("agent", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Door:
    """One admin listener: ``place`` is a socket's path or an http:// URL."""

    def __init__(self, place: str, token_file: str | None) -> None:
        self.place = place
        self.token_file = token_file

    def order(self, path: str, **query: str) -> dict[str, Any]:
        """POST, and what came back. Raises RefusedError, or CannotAskError where there is no answer."""
        words = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
        status, body = self._post(f"{path}?{words}" if words else path)
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise CannotAskError(f"what listens on {self.place} is no admin listener (it answered {status})")
        if status != 200:
            raise RefusedError(str(said.get("error", f"status {status}")))
        return said

    def containers(self) -> list[dict[str, Any]]:
        """What /status says of each container, in full."""
        found: list[dict[str, Any]] = self.order("/status")["containers"]
        return found

    def _post(self, path: str) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            headers: dict[str, Any] = {"Content-Length": "0", **self._token()}
            connection.request("POST", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except FileNotFoundError:
            raise CannotAskError(
                f"there is no socket {self.place}: is the agent running, with this `admin:`?"
            ) from None
        except PermissionError:
            raise CannotAskError(f"{self.place} is another user's: run this as the user the agent runs as") from None
        except ConnectionRefusedError:
            raise CannotAskError(
                f"nothing listens on {self.place}: is the agent running, with this `admin:`?"
            ) from None
        except TimeoutError:
            raise CannotAskError(f"{self.place} gave no answer within {ASK_SECONDS:g} s") from None
        except (OSError, http.client.HTTPException) as trouble:
            raise CannotAskError(f"{self.place} can't be asked: {trouble}") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if "://" not in self.place:
            return _UnixConnection(self.place, ASK_SECONDS)
        parts = urlsplit(self.place)
        return http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=ASK_SECONDS)

    def _token(self) -> dict[str, bytes]:
        """The header, in the bytes of the file: that is what the agent compares."""
        if self.token_file is None:
            return {}
        try:
            token = Path(self.token_file).read_bytes().strip()
        except OSError as trouble:
            raise CannotAskError(f"the token in {self.token_file} can't be read: {trouble.strerror}") from None
        if any(byte < ord(" ") or byte == 0x7F for byte in token):
            raise CannotAskError(f"the token in {self.token_file} is more than one line, or holds control characters")
        return {"Authorization": b"Bearer " + token}


def exit_status(command: str, work: Callable[[], int]) -> int:
    """That of ``work``; 2 where nobody knows whom to ask, 1 where there is no answer or a refusal, with the reason."""
    try:
        return work()
    except NoListenerError as problem:
        print(f"health-agent {command}: {problem}", file=sys.stderr)
        return 2
    except (CannotAskError, RefusedError) as problem:
        print(f"health-agent {command}: {problem}", file=sys.stderr)
        return 1


def find(args: Namespace) -> Door:
    """The listener that the arguments name, else the one of the configuration. Raises NoListenerError."""
    if args.admin:
        return Door(_place(args.admin), args.token_file)
    from agent.cli.loading import load_files
    from agent.config import ConfigError

    try:
        admin = load_files(args.config, args).config.admin
    except ConfigError as wrong:
        first = wrong.problems[0]
        raise NoListenerError(f"the configuration can't tell where the admin listener is ({first}): {REMEDY}") from None
    if admin is None:
        raise NoListenerError(f"no admin listener is configured: {REMEDY}")
    host = f"[{admin.host}]" if ":" in admin.host else admin.host
    return Door(admin.socket or f"http://{host}:{admin.port}", args.token_file or admin.token_file)


def _place(given: str) -> str:
    if "://" not in given:
        return os.path.abspath(given)  # noqa: PTH100 - as it will be shown
    try:
        parts = urlsplit(given)
        good = parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0 and not parts.username
    except ValueError:
        good = False
    if not good:
        raise NoListenerError(f"--admin {given!r} is neither a socket's path nor http://HOST:PORT")
    return given


def only(containers: list[dict[str, Any]], name: str | None) -> str:
    """``name`` if it is given and there is such a container, else the only one's. Raises RefusedError."""
    names = [str(one["name"]) for one in containers]
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise RefusedError(f"say which container: {', '.join(names) or 'there are none'}")
    if name not in names:
        raise RefusedError(no_such(name, names))
    return name
