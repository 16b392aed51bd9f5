"""`healthcheck`: 0 or 1, one line why, and next to nothing imported."""

import socket
import subprocess
import sys

import pytest

from agent.cli import main
from agent.cli.healthcheck import UsageError, understand
from tests.cli.support import Listener, health_agent, unused_port

WELL = [(200, "ok")]


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ([], "/-/healthy"),
        (["--live"], "/healthz"),
        (["--ready"], "/ready"),
        (["--started"], "/startupz"),
        (["--live", "--container", "model"], "/healthz/model"),
        (["--container=model-2.x_y", "--started"], "/startupz/model-2.x_y"),
    ],
)
def test_each_option_asks_its_endpoint(words: list[str], path: str) -> None:
    with Listener({path: WELL}) as agent:
        assert main(["healthcheck", *words, "--url", agent.url]) == 0
        assert agent.asked == [path]


def test_a_path_in_the_url_is_asked_itself_or_stands_before_the_endpoint() -> None:
    with Listener({"/agent/-/healthy": WELL, "/agent/ready": WELL}) as agent:
        assert main(["healthcheck", "--url", f"{agent.url}/agent/-/healthy"]) == 0
        assert main(["healthcheck", "--ready", "--url", f"{agent.url}/agent/"]) == 0


def test_what_fails_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    body = "[+]model/started ok\n[-]model/readiness/http_get failed: reason withheld\nready check failed\n"
    with Listener({"/ready": [(503, body)]}) as agent:
        assert main(["healthcheck", "--ready", "--url", agent.url]) == 1
    told = "health-agent healthcheck: /ready answers 503: [-]model/readiness/http_get failed: reason withheld\n"
    assert capsys.readouterr().err == told


def test_a_container_the_agent_does_not_know_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    with Listener({}) as agent:
        assert main(["healthcheck", "--live", "--container", "modle", "--url", agent.url]) == 1
    assert "has no container 'modle'" in capsys.readouterr().err


def test_where_nothing_listens_the_remedy_is_told() -> None:
    port = unused_port()
    found = health_agent("healthcheck", HEALTH_AGENT_SERVER__PORT=str(port))
    assert found.returncode == 1
    assert found.stderr.startswith(
        f"health-agent healthcheck: nothing listens on 127.0.0.1:{port}: is the agent running?"
    )
    assert len(found.stderr.splitlines()) == 1


def test_what_does_not_speak_http_is_no_agent(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        child = subprocess.Popen(
            [sys.executable, "-m", "agent", "healthcheck", "--url", f"http://127.0.0.1:{port}"],
            stderr=subprocess.PIPE,
            text=True,
        )
        with listener.accept()[0] as connection:
            connection.recv(1024)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        _, err = child.communicate(timeout=10)
    assert child.returncode == 1
    assert "does not speak HTTP" in err


@pytest.mark.parametrize(
    "words",
    [
        ["--lvie"],
        ["--ready", "--live"],
        ["--container", "model"],
        ["--url"],
        ["--url", "https://127.0.0.1:9809"],
        ["--url", "127.0.0.1:9809"],
        ["--url", "http://127.0.0.1:port"],
        ["--url", "http://127.0.0.1:70000"],
        ["--url", "http://user:word@127.0.0.1"],
        ["--url", "http://"],
        ["--url", "http://host\r\nX: y"],
        ["--live", "--container", "../metrics"],
    ],
)
def test_wrong_usage_is_1_and_one_line_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Docker knows 0 and 1 only; 2 is reserved there."""
    assert main(["healthcheck", *words]) == 1
    err = capsys.readouterr().err
    assert err.startswith("health-agent healthcheck: ")
    assert err.count("\n") == 1


def test_the_same_option_twice_is_no_contradiction() -> None:
    assert understand(["--ready", "--ready"]) == ("/ready", "", "")
    with pytest.raises(UsageError):
        understand(["--ready", "--started"])


def test_an_ipv6_address_is_asked_where_it_listens() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener:
        url = f"http://[::1]:{listener.getsockname()[1]}"
        child = subprocess.Popen(
            [sys.executable, "-m", "agent", "healthcheck", "--url", url], stdout=subprocess.DEVNULL
        )
        with listener.accept()[0] as connection:
            assert f"Host: {url.removeprefix('http://')}".encode() in connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nok")
        assert child.wait(10) == 0


def test_it_imports_next_to_nothing() -> None:
    """Docker runs it every few seconds: what it imports is what it costs."""
    program = (
        "import sys; before = set(sys.modules); sys.argv[1:] = ['healthcheck']\n"
        "from agent.__main__ import main; main()\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    environ = {"HEALTH_AGENT_SERVER__PORT": str(unused_port())}
    found = subprocess.run(
        [sys.executable, "-S", "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    heavy = {"aiohttp", "yaml", "prometheus_client", "msgspec", "argparse", "typing", "asyncio", "http", "urllib", "re"}
    assert heavy & set(found.stdout.split()) == set()


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["healthcheck", "--help"]) == 0
    assert "HEALTHCHECK CMD" in capsys.readouterr().out


def test_even_without_a_reader_it_knows_0_and_1_only() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "agent", "healthcheck", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.close()
    _, err = child.communicate(timeout=10)
    assert (child.returncode, err) == (1, b"")
