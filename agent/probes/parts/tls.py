"""TLS as probes speak it: without verification like the kubelet, unless the check's `tls` says otherwise."""

import ssl
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from agent.probes.parts.faults import Fault
from agent.probes.parts.shared import shared


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """How an https probe meets its server."""

    verify: Annotated[bool, Meta(description="check the server's certificate and name; the kubelet never does")] = False
    ca_file: Annotated[str | None, Meta(description="PEM file of accepted authorities; null: the system's")] = None
    cert_file: Annotated[str | None, Meta(description="PEM file of the client's certificate chain")] = None
    key_file: Annotated[str | None, Meta(description="PEM file of the client's key; null: it is in cert_file")] = None
    server_name: Annotated[str | None, Meta(description="name asked for (SNI) and verified; null: the host")] = None

    def check_options(self) -> list[tuple[str, str]]:
        problems = []
        if self.ca_file is not None and not self.verify:
            problems.append(("ca_file", "has no effect without `verify: true`"))
        if self.key_file is not None and self.cert_file is None:
            problems.append(("key_file", "has no effect without cert_file, the certificate it belongs to"))
        if self.server_name is not None and not _is_host_name(self.server_name):
            problems.append(("server_name", "is not a host name"))
        return problems

    def files(self) -> tuple[str, ...]:
        return tuple(file for file in (self.ca_file, self.cert_file, self.key_file) if file is not None)


UNVERIFIED: Final = Tls()
_contexts: dict[tuple[Tls, str | None], tuple[Any, ssl.SSLContext]] = {}


async def client_context(options: Tls, protocol: str | None = None) -> ssl.SSLContext:
    """The context for ``options``, built once beside the event loop, and again whenever one of its files changes.

    ``protocol`` is what is offered by ALPN.
    """
    key = (options, protocol)
    known = _contexts.get(key)
    if known is None or options.files():
        known = _contexts[key] = await shared(("tls", key), lambda: _current(options, protocol, known))
    return known[1]


def _current(
    options: Tls, protocol: str | None, known: tuple[Any, ssl.SSLContext] | None
) -> tuple[Any, ssl.SSLContext]:
    name = "tls"
    try:
        stamps = []
        for name in options.files():
            found = Path(name).stat()
            stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
        if known is not None and known[0] == stamps:
            return known
        name = ", ".join(options.files()) or "tls"
        return stamps, _build(options, protocol)
    except OSError as problem:  # ssl.SSLError is one too
        raise Fault("internal", f"{name} cannot be used: {problem.strerror or problem}") from problem


def _build(options: Tls, protocol: str | None) -> ssl.SSLContext:
    if options.verify:
        context = ssl.create_default_context(cafile=options.ca_file)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("DEFAULT:@SECLEVEL=1")  # Python's own list refuses servers that the kubelet can talk to
    if protocol is not None:
        context.set_alpn_protocols([protocol])
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # as Go's clients
    if options.cert_file is not None:
        context.load_cert_chain(options.cert_file, options.key_file, password=_no_password)
    return context


def _no_password() -> str:
    """Without this OpenSSL would ask the terminal for the password of an encrypted key."""
    raise ssl.SSLError(0, "the key is encrypted; probes need one without a password")


def _is_host_name(name: str) -> bool:
    try:
        return not name.startswith(".") and name.isprintable() and " " not in name and bool(name.encode("idna"))
    except UnicodeError:
        return False
