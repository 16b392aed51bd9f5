"""What an API server's refusals mean, in words that name the remedy: pure, over status, headers and body."""

import errno
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

_RBAC: Final = re.compile(r'cannot \w+ resource "')
_WORDS: Final = 300  # characters of the server's own message
_LONGEST_WAIT_SECONDS: Final = 300.0


class ApiError(OSError):
    """The API server refused, or could not be asked: ``strerror`` is the message.

    ``status`` is that of the answer, 0 without one; ``words`` are the server's own, "" where it had none;
    ``retry_after`` is in seconds, None where the server named none.
    """

    def __init__(
        self, number: int, message: str, *, status: int = 0, words: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(number, message)
        self.status = status
        self.words = words
        self.retry_after = retry_after


class Rule(msgspec.Struct, frozen=True):
    """The rule of a Role that a request needs; it is named where the server forbids the request."""

    resource: str
    verbs: tuple[str, ...]

    def remedy(self, namespace: str) -> str:
        rule = f'{{apiGroups: [""], resources: [{self.resource}], verbs: [{", ".join(self.verbs)}]}}'
        return f"add {rule} to the rules of a Role in namespace {namespace} that is bound to it"


GET_POD: Final = Rule("pods", ("get",))
DELETE_POD: Final = Rule("pods", ("delete",))
EVICT_POD: Final = Rule("pods/eviction", ("create",))
EXEC_IN_POD: Final = Rule("pods/exec", ("get", "create"))
"""A websocket begins with a GET, authorised as `get`; from Kubernetes 1.35 on `create` is asked for as well."""
CREATE_EVENT: Final = Rule("events", ("create",))
READ_LOG: Final = Rule("pods/log", ("get",))


class Cause(msgspec.Struct, frozen=True):
    """One of the causes in a Status, e.g. reason ExitCode, message "3"."""

    reason: str | None = None
    message: str | None = None


class Details(msgspec.Struct, frozen=True, rename="camel"):
    """What a Status tells for programs."""

    causes: list[Cause] | None = None
    retry_after_seconds: float | None = None


class Status(msgspec.Struct, frozen=True):
    """A v1.Status, the body of every refusal and the end of every exec."""

    status: str | None = None
    message: str | None = None
    reason: str | None = None
    details: Details | None = None

    def cause(self, reason: str) -> str | None:
        causes = (self.details and self.details.causes) or ()
        return next((one.message for one in causes if one.reason == reason), None)


def refusal(where: str, remedy: str, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """An answer other than success, as an error; ``remedy`` is for a right that is missing."""
    told = status_of(body)
    words = shown((told and told.message) or "")
    said = f" ({words})" if words else ""
    if status == 401:
        number, message = errno.EACCES, (
            f"{where} does not accept the service account's token: it has expired, its account was deleted, or it is "
            "of another cluster; mount the service account's own (automountServiceAccountToken: true)"
        )  # fmt: skip
    elif status == 403 and (_RBAC.search(words) or not words):
        number, message = errno.EACCES, f"the service account lacks a right: {remedy}{said}"
    elif status == 404:
        number, message = errno.ENOENT, f"{where} does not know it: {words or 'not found'}"
    elif status == 429:
        causes = [one.message for one in (told and told.details and told.details.causes) or () if one.message]
        number, message = errno.EBUSY, "; ".join([words or f"{where} has too many requests", *map(shown, causes)])
    elif 300 <= status < 400:
        number, message = errno.EPROTO, f"{where} answered {status}, a redirect, which is not followed: is it the API?"
    else:
        number, message = errno.EREMOTEIO if status >= 500 else errno.EINVAL, f"{where} answered {status}{said}"
    return ApiError(number, message, status=status, words=words, retry_after=_retry_after(headers, told))


def status_of(body: bytes) -> Status | None:
    """The Status that a body is; None where it is something else."""
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.MsgspecError:
        return None


def shown(text: str) -> str:
    """A server's words on one line, and no more of them than a message bears."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= _WORDS else f"{line[:_WORDS]}..."


def _retry_after(headers: Mapping[str, str], told: Status | None) -> float | None:
    """Seconds that the server asks to wait, by header or Status; no server makes us wait for longer than minutes."""
    text = headers.get("Retry-After", "")
    given = (told and told.details and told.details.retry_after_seconds) or None
    if text.isdecimal():
        given = float(text)
    elif text:
        moment = server_time(text)
        given = given if moment is None else (moment - datetime.now(UTC)).total_seconds()
    return None if given is None else min(max(given, 0.0), _LONGEST_WAIT_SECONDS)


def server_time(text: str) -> datetime | None:
    """The moment of a Date or Retry-After header."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
