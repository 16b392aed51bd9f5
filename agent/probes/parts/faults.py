"""Tells what is wrong with a target on the network from trouble of the agent's own."""

import errno
import socket
import ssl
from typing import Final

from agent.core.model import Reason, Result, error, failure


class Fault(Exception):  # noqa: N818  # it is the target that is at fault, mostly; see result()
    """Why a look at the target ended early. Reason "internal" says that the agent itself could not look."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail

    def result(self) -> Result:
        return (error if self.reason in ("internal", "body") else failure)(self.reason, self.detail)


_UNREACHABLE: Final = "refused"  # actively turned away, or no way there at all: in both nobody will answer
_REASONS: Final[dict[int | None, Reason]] = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: _UNREACHABLE,
    errno.EHOSTUNREACH: _UNREACHABLE,
    errno.ENETDOWN: _UNREACHABLE,
    errno.EHOSTDOWN: _UNREACHABLE,
    errno.EACCES: _UNREACHABLE,  # how a local packet filter says no
    errno.EPERM: _UNREACHABLE,
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.ENOTCONN: "reset",  # gone between two of our calls
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timeout",
}


def blame(problem: OSError, doing: str) -> Fault | OSError:
    """The target's fault, or ``problem`` itself where it is the agent's own: EMFILE, ENOMEM, no free port, ..."""
    if isinstance(problem, ssl.SSLError):  # its errno is OpenSSL's, not the system's
        return Fault("tls", f"{doing}: {_tls_text(problem)}")
    if isinstance(problem, socket.gaierror):
        return problem if problem.errno == socket.EAI_MEMORY else Fault("dns", f"{doing}: {problem.strerror}")
    reason = _REASONS.get(problem.errno)
    return problem if reason is None else Fault(reason, f"{doing}: {(problem.strerror or str(problem)).lower()}")


def _tls_text(problem: ssl.SSLError) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {problem.verify_message}"
    if isinstance(problem, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "the TLS connection was closed"
    return (problem.reason or "TLS error").lower().replace("_", " ")
