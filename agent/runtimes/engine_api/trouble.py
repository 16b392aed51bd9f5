"""Says what is the matter with a Docker Engine that can't be reached or refuses, and what to do about it."""

import errno
import os
import stat
from typing import Final

from agent.core.model import EXHAUSTED

_LONGEST_TEXT: Final = 500
_UNMAPPED: Final = 65534  # how the kernel shows a group that a user namespace does not know
_PROXY: Final = (
    "a socket proxy has to allow it (for tecnativa/docker-socket-proxy: CONTAINERS, EXEC, POST, ALLOW_RESTARTS)"
)


class RefusedError(OSError):
    """The engine answered, with an error ``status`` of HTTP: the request was not carried out, or failed there."""

    def __init__(self, number: int, words: str, status: int) -> None:
        super().__init__(number, words)
        self.status = status


def origin(problem: BaseException | None) -> OSError | None:
    """The operating system's own error behind an exception, if there is one."""
    while problem is not None:
        if isinstance(problem, OSError) and problem.errno is not None:
            return problem
        problem = problem.__cause__ or problem.__context__
    return None


def refused(status: int, message: str) -> RefusedError:
    """What an HTTP error of the engine, or of a proxy before it, means."""
    text = " ".join(message.split())[:_LONGEST_TEXT] or "no reason is given"
    if status == 403:
        return RefusedError(errno.EPERM, f"the engine, or a proxy before it, forbids this ({text}): {_PROXY}", status)
    if status == 400 and "version" in text and "API" in text:
        return RefusedError(
            errno.EPROTONOSUPPORT,
            f"the engine refuses the API version that was just named as its own: {text}. A socket proxy that answers "
            "for another engine, or keeps its answers, has to be restarted",
            status,
        )
    return RefusedError(errno.EREMOTEIO, f"the engine answered {status}: {text}", status)


def silent(host: str, seconds: float) -> OSError:
    return TimeoutError(
        errno.ETIMEDOUT,
        f"the engine at {host} did not answer within {seconds:g} s: it is overloaded or hangs (try docker ps)",
    )


def garbled(host: str, problem: BaseException) -> OSError:
    """It answered, but not as an engine does."""
    return OSError(
        errno.EPROTO,
        f"what {host} answered can't be understood ({type(problem).__name__}): it broke off, or is no Docker Engine",
    )


def unreachable(host: str, problem: BaseException) -> OSError:
    """No conversation came about, or it broke off. Blocking: it looks at the socket file."""
    cause = origin(problem)
    if cause is None or cause.errno is None:
        return OSError(errno.ECONNRESET, f"the engine at {host} closed the connection without an answer")
    if cause.errno in EXHAUSTED - {errno.EAGAIN}:
        return OSError(cause.errno, cause.strerror)  # the agent's own want: it says nothing of the engine
    if cause.errno in (errno.EAGAIN, errno.ENOTCONN):  # what a full queue of connections comes to
        return OSError(errno.ETIMEDOUT, f"the engine at {host} takes no more connections: it is overloaded or hangs")
    if not host.startswith("unix://"):
        return OSError(cause.errno, f"the engine at {host} can't be reached: {cause.strerror or cause}")
    path = host.removeprefix("unix://")
    return OSError(cause.errno, _about_socket(path, cause))


def _about_socket(path: str, cause: OSError) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116 - one call
    except PermissionError:
        return f"the agent (uid {os.geteuid()}) may not look into the folder of {path}"
    except OSError as problem:
        return (
            f"{path}: {problem.strerror}; the engine is stopped, or its socket is not mounted here (docker run -v "
            f"{path}:{path}), or elsewhere (a rootless engine: runtime.docker.host: unix:///run/user/UID/docker.sock)"
        )
    if not stat.S_ISSOCK(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no socket"
        return (
            f"{path} is {kind}: the host has no socket there, and Docker makes a folder of a mount that is not there; "
            "mount the socket that the engine has (docker context inspect tells where)"
        )
    if cause.errno in (errno.EACCES, errno.EPERM):
        return _about_rights(path, found)
    if cause.errno == errno.ECONNREFUSED:
        return (
            f"nobody listens on {path}: the engine is stopped; or it has been restarted and has made a new socket, "
            "which a mount of the old file does not show: restart the agent, or mount the folder of the socket"
        )
    return f"the engine at {path} can't be reached: {cause.strerror or cause}"


def _about_rights(path: str, found: os.stat_result) -> str:
    uid, group = os.geteuid(), found.st_gid
    told = f"the agent (uid {uid}) may not use {path} (uid {found.st_uid}, gid {group}, mode {found.st_mode & 0o777:o})"
    if group in {os.getegid(), *os.getgroups()} and found.st_mode & 0o020:
        return (
            f"{told} although its group may: SELinux or AppArmor forbids it (docker run --security-opt label=disable)"
        )
    if group == _UNMAPPED:
        return f"{told}: the engine maps users; run the agent with --userns=host and the socket's group"
    return f'{told}: add the group, docker run --group-add {group}, or group_add: ["{group}"] in Compose'
