"""What `tls` adds to https probes: verification, client certificates, names; a bad file is nobody's failure."""

import ssl
from pathlib import Path

import pytest
import trustme

from agent.core.model import Outcome, Result
from agent.probes.http import HttpGet
from agent.probes.parts.tls import Tls, client_context
from probes.support import Server, answering, attempt, says


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


async def look(server: Server, host: str = "127.0.0.1", **options: object) -> Result:
    return await attempt(HttpGet(scheme="https", host=host, tls=Tls(**options)), server.target())  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_certificate_of_the_given_authority_is_accepted(
    served: ssl.SSLContext, ca_file: str, host: str
) -> None:
    async with answering(says(), tls=served) as server:
        assert (await look(server, host, verify=True, ca_file=ca_file)).outcome is Outcome.SUCCESS


async def test_another_authority_or_another_name_is_a_tls_failure(served: ssl.SSLContext, ca_file: str) -> None:
    async with answering(says(), tls=served) as server:
        for options in ({"verify": True}, {"verify": True, "ca_file": ca_file, "server_name": "model.example.com"}):
            result = await look(server, **options)
            assert (result.outcome, result.reason) == (Outcome.FAILURE, "tls")
            assert "certificate not accepted" in result.detail


async def test_a_server_that_asks_for_a_client_certificate_gets_the_given_one(
    authority: trustme.CA, tmp_path: Path
) -> None:
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(asking)
    authority.configure_trust(asking)
    asking.verify_mode = ssl.CERT_REQUIRED
    issued = authority.issue_cert("probe@example.com")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    async with answering(says(), tls=asking) as server:
        assert (await look(server, cert_file=str(certificate), key_file=str(key))).outcome is Outcome.SUCCESS
        result = await look(server)
        assert (result.outcome, result.reason in {"tls", "reset"}) == (Outcome.FAILURE, True)


async def test_names_are_sent_as_sni_and_addresses_never(authority: trustme.CA) -> None:
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with answering(says(), tls=context) as server:
        await look(server)
        await look(server, "localhost")
        await look(server, server_name="model.example.com")
    assert asked == [None, "localhost", "model.example.com"]


async def test_a_missing_file_is_an_internal_error_that_names_it(served: ssl.SSLContext) -> None:
    async with answering(says(), tls=served) as server:
        result = await look(server, verify=True, ca_file="/no/such/ca.pem")
        assert (result.outcome, result.reason, server.connections) == (Outcome.ERROR, "internal", 0)
        assert "/no/such/ca.pem" in result.detail


async def test_a_context_is_built_once_and_again_when_its_file_changes(ca_file: str) -> None:
    options = Tls(verify=True, ca_file=ca_file)
    first = await client_context(options)
    assert await client_context(options) is first
    trustme.CA().cert_pem.write_to_path(ca_file, append=True)
    assert await client_context(options) is not first


@pytest.mark.parametrize(
    ("options", "path"),
    [
        (Tls(ca_file="ca.pem"), "ca_file"),
        (Tls(key_file="key.pem"), "key_file"),
        (Tls(server_name="a b"), "server_name"),
        (Tls(server_name="x" * 64), "server_name"),
    ],
)
def test_options_that_make_no_sense_are_told(options: Tls, path: str) -> None:
    assert [found for found, _ in options.check_options()] == [path]
