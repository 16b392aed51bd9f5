"""Compose files: blocks of services as containers, the engine's healthchecks, and who shares whose network."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.config import ConfigError, Loaded, SourceRef, listen_port_hint, load
from agent.config.compose import native_tree
from agent.config.compose_files import Reader
from agent.config.native import new_decoder
from agent.config.parse import parse
from agent.config.tree import plain
from agent.probes.exec import Exec
from agent.probes.http import HttpGet
from agent.probes.tcp import TcpSocket
from config.support import problems, read, source

READY = {"tcp_socket": {"port": 1}}


def text(services: dict[str, Any], **more: Any) -> str:
    return yaml.safe_dump({**more, "services": services}, sort_keys=False)


def service(block: Any = None, **more: Any) -> dict[str, Any]:
    return {"image": "vllm/vllm-openai", **more, "x-health-agent": {"readiness_check": READY, **(block or {})}}


def native(services: dict[str, Any], environ: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """The native document that a Compose file becomes, before it is decoded."""
    decoder = new_decoder(environ or {})
    roots = parse(text(services, **more), "compose.yaml").documents
    tree = native_tree(decoder, Reader(decoder, environ or {}).project(roots, [source("")]))
    assert tree is not None
    assert [str(problem) for problem in decoder.problems] == []
    found: dict[str, Any] = plain(tree)
    return found


def codes(loaded: Loaded) -> list[str]:
    return [warning.code for warning in loaded.warnings]


# -- services -------------------------------------------------------------------------------------------------------


def test_a_services_block_is_a_native_container_by_the_services_name() -> None:
    block = {
        "liveness_check": {"http_get": {"path": "/health"}, "timeout_seconds": 5},
        "restart": {"action": {"exec": {"command": ["x"]}}, "grace_period_seconds": 7},
    }
    loaded = read(text({"model": service(block, ports=["127.0.0.1:80:8000/tcp"]), "db": {"image": "postgres"}}))
    assert loaded.kind == "compose"
    (container,) = loaded.config.containers
    assert (container.name, container.host, container.port) == ("model", "model", 8000)
    assert container.readiness[0].options == TcpSocket(port=1)
    assert (container.liveness[0].options, container.liveness[0].timeout_seconds) == (HttpGet(path="/health"), 5)
    assert (container.restart.action_name, container.restart.grace_period_seconds) == ("exec", 7)
    assert codes(loaded) == []


def test_a_block_may_say_another_name_host_and_port() -> None:
    block = {"name": "other", "host": "127.0.0.1", "port": 5, "liveness_check": {"tcp_socket": {}}}
    (container,) = read(text({"Model": service(block, expose=["8000"])})).config.containers
    assert (container.name, container.host, container.port) == ("other", "127.0.0.1", 5)


def test_an_empty_block_is_a_container_too() -> None:
    (container,) = read("services:\n  model:\n    x-health-agent:\n").config.containers
    assert (container.name, container.checks()) == ("model", ())


@pytest.mark.parametrize(
    ("keys", "port"),
    [
        ({"ports": [8000]}, 8000),
        ({"ports": ["8000"]}, 8000),
        ({"ports": ["80:8000", {"target": 8000, "published": "81"}], "expose": ["8000"]}, 8000),
        ({"ports": ["[::1]:80:8000"]}, 8000),
        ({"ports": [{"target": 8000}]}, 8000),
        ({"ports": ["80:${PORT:-8000}"]}, 8000),
        ({"expose": ["8000/tcp"]}, 8000),
        ({"ports": ["8000", "9000"]}, None),
        ({"ports": ["8000-8010"]}, None),
        ({"ports": ["53:53/udp"]}, None),
        ({"ports": [True, None, []]}, None),
        ({"ports": "8000"}, None),
        ({}, None),
    ],
)
def test_the_one_port_that_a_service_listens_on_is_its_default(keys: dict[str, Any], port: int | None) -> None:
    assert read(text({"model": service(**keys)})).config.containers[0].port == port


def test_the_files_own_block_holds_what_a_native_document_says_of_the_agent() -> None:
    settings = {"server": {"port": 9900}, "log": {"level": "debug"}, "allow_hosts": ["192.0.2.1"], "state_file": "/s"}
    document = text({"model": service({"liveness_check": {"tcp_socket": {"host": "192.0.2.1", "port": 1}}})},
                    **{"x-health-agent": settings})  # fmt: skip
    config = read(document).config
    assert (config.server.port, config.log.level, config.state_file) == (9900, "debug", "/s")
    assert listen_port_hint([source(document + "\n x: [")], {}) == 9900, "also while the rest is broken"


def test_a_native_file_is_laid_over_a_compose_file() -> None:
    over = "server: {port: 9901}\ncontainers: [{name: model, restart: {dry_run: true}}]"
    loaded = read(text({"model": service()}), over)
    assert (loaded.config.server.port, loaded.config.containers[0].restart.dry_run) == (9901, True)
    assert read("services: {db: {image: x}}", "containers: [{name: m, port: 1}]").config.containers[0].name == "m"


def test_anchors_and_merge_keys_bring_blocks() -> None:
    document = """
x-checks: &checks
  readiness_check: {tcp_socket: {port: 1}}
services:
  a: {x-health-agent: *checks}
  b: {x-health-agent: {<<: *checks, port: 2}}
"""
    found = read(document).config.containers
    assert [(one.name, one.port, len(one.readiness)) for one in found] == [("a", None, 1), ("b", 2, 1)]


def test_the_rest_of_a_compose_file_may_be_anything() -> None:
    odd: dict[str, Any] = {"ports": {}, "environment": 5, "volumes": [3], "command": 7, "image": [], "profiles": 1}
    assert len(read(text({"model": service(**odd), "x": odd}, networks=[], volumes="?")).config.containers) == 1


# -- healthchecks ---------------------------------------------------------------------------------------------------

HEALTHCHECK = {"test": ["CMD", "curl", "-f", "http://localhost/$${X}"], "interval": "1m30s"}
DOCKER = {"runtime": {"docker": {"container": "model-1"}}}


def test_a_healthcheck_without_the_docker_runtime_is_left_out_with_a_warning() -> None:
    loaded = read(text({"model": service(healthcheck=HEALTHCHECK), "db": {"healthcheck": HEALTHCHECK}}))
    assert [(one.path, one.code) for one in loaded.warnings] == [
        ("services.model.healthcheck", "W-COMPOSE-HEALTHCHECK"),
        ("services.db.healthcheck", "W-COMPOSE-HEALTHCHECK"),
    ]
    (container,) = loaded.config.containers
    assert [check.method for check in container.checks()] == ["tcp_socket"]


def test_with_the_docker_runtime_the_engines_verdict_is_the_readiness_check() -> None:
    block = {"x-health-agent": DOCKER, "healthcheck": HEALTHCHECK}
    (container,) = native({"model": block})["containers"]
    assert container["readiness_check"] == {"engine_health": {}}
    assert "liveness_check" not in container
    assert container["runtime"] == DOCKER["runtime"]


def test_and_the_liveness_check_where_something_is_to_be_done_about_it() -> None:
    block = {"x-health-agent": {**DOCKER, "restart": {"action": {"docker": {}}}}, "healthcheck": HEALTHCHECK}
    (container,) = native({"model": block})["containers"]
    assert container["readiness_check"] == container["liveness_check"] == {"engine_health": {}}


def test_checks_that_are_written_win_over_the_engines_verdict() -> None:
    block = {**DOCKER, "restart": {}, "readiness_check": READY, "liveness_check": None}
    (container,) = native({"model": {"x-health-agent": block, "healthcheck": HEALTHCHECK}})["containers"]
    assert (container["readiness_check"], container["liveness_check"]) == (READY, None)


@pytest.mark.parametrize(
    "check",
    [
        {"disable": True}, {"disable": "true", "test": "x"}, {"disable": "${OFF:-true}"}, {"test": ["NONE"]},
        {"test": "NONE"}, {}, None, [],
    ],
)  # fmt: skip
def test_a_healthcheck_that_is_switched_off_is_none(check: Any) -> None:
    assert codes(read(text({"model": service(healthcheck=check)}))) == []
    (container,) = native({"model": {"x-health-agent": DOCKER, "healthcheck": check}})["containers"]
    assert "readiness_check" not in container


def test_the_docker_runtime_looks_for_the_services_own_container() -> None:
    named = native({"model": {"x-health-agent": {"runtime": {"docker": {}}}}}, name="shop")["containers"][0]
    assert named["runtime"] == {"docker": {"service": "model", "project": "shop"}}
    blocks: list[Any] = [{"runtime": {"docker": None}}, {"restart": {"action": {"docker": {}}}}]
    for block in blocks:
        implied = native({"model": {"x-health-agent": block}}, {"COMPOSE_PROJECT_NAME": "p"}, name="shop")
        assert implied["containers"][0]["runtime"] == {"docker": {"service": "model", "project": "p"}}
    more = native({"model": {"x-health-agent": {"runtime": {"docker": {"host": "tcp://h:1"}}}}})["containers"][0]
    assert more["runtime"] == {"docker": {"service": "model", "host": "tcp://h:1"}}
    beside = {"model": {"x-health-agent": {"runtime": {"docker": {}}}}, "agent": {"image": "model-health-agent"}}
    (known,) = native(beside, name="shop")["containers"]
    assert known["runtime"] == {"docker": {"service": "model"}}, "the agent looks for it in its own project"
    (bare,) = native({"model": {"x-health-agent": {"runtime": {"docker": {}}}}})["containers"]
    assert bare["runtime"] == {"docker": {"service": "model"}}


# -- the agent's own service, profiles, networks -------------------------------------------------------------------


@pytest.mark.parametrize(
    "own",
    [
        {"image": "model-health-agent:1"},
        {"build": ".", "command": "health-agent run"},
        {"build": ".", "entrypoint": ["python", "-m", "agent"]},
        {"build": ".", "environment": {"HEALTH_AGENT_CONFIG": "/c.yaml"}},
        {"build": ".", "environment": ["HEALTH_AGENT_CONFIG=/c.yaml"]},
        {"build": ".", "volumes": ["./compose.yaml:/etc/health-agent/config.yaml:ro"]},
        {"build": ".", "configs": [{"source": "c", "target": "/etc/health-agent/config.yaml"}]},
    ],
)
def test_the_agents_own_service_is_left_out_and_whoever_shares_its_network_is_right_here(own: dict[str, Any]) -> None:
    agent = {**own, "healthcheck": {"test": "health-agent healthcheck"}}
    services = {
        "agent": agent,
        "apart": service(),
        "inside": service(network_mode="service:agent"),
    }
    loaded = read(text(services))
    assert [(one.name, one.host) for one in loaded.config.containers] == [("apart", "apart"), ("inside", "127.0.0.1")]
    assert codes(loaded) == []
    sharing = {"agent": {**agent, "network_mode": "service:model"}, "model": service()}
    assert read(text(sharing)).config.containers[0].host == "127.0.0.1"
    both_host = {"agent": {**agent, "network_mode": "host"}, "model": service(network_mode="host")}
    assert read(text(both_host)).config.containers[0].host == "127.0.0.1"


def test_a_service_in_anothers_network_is_reached_by_the_others_name() -> None:
    services = {"gateway": {"image": "x"}, "model": service(network_mode="service:gateway")}
    assert read(text(services)).config.containers[0].host == "gateway"


SAY = "no name leads to it; say in `x-health-agent` which host does"


@pytest.mark.parametrize("mode", ["host", "none", "bridge", "container:abc"])
def test_a_service_that_no_name_leads_to_is_warned_of(mode: str) -> None:
    agent = {"image": "model-health-agent", "network_mode": "bridge"}
    loaded = read(text({"model": service(network_mode=mode), "agent": agent}))
    assert loaded.config.containers[0].host == "model"
    assert [str(one) for one in loaded.warnings] == [
        f"config.yaml:5: services.model.x-health-agent: W-COMPOSE-NETWORK: network_mode {mode}: {SAY}"
    ]
    told = read(text({"model": service({"host": "127.0.0.1"}, network_mode=mode), "agent": agent}))
    assert codes(told) == []


def test_a_service_whose_profile_is_not_active_is_left_out() -> None:
    services = {
        "model": service(),
        "gpu": service(profiles=["gpu", "all"]),
        "db": {"profiles": ["x"], "healthcheck": {}},
    }
    loaded = read(text(services))
    assert [one.name for one in loaded.config.containers] == ["model"]
    assert [(one.code, one.path) for one in loaded.warnings] == [("W-COMPOSE-PROFILE", "services.gpu.x-health-agent")]
    assert "COMPOSE_PROFILES=gpu" in loaded.warnings[0].message
    for active in ("all", "x, gpu", "*"):
        found = read(text(services), environ={"COMPOSE_PROFILES": active})
        assert [one.name for one in found.config.containers] == ["model", "gpu"]


# -- variables ------------------------------------------------------------------------------------------------------


def test_references_are_replaced_as_compose_does_and_kept_secret() -> None:
    block = {
        "port": "${MODEL_PORT:-8000}",
        "liveness_check": {
            "http_get": {"path": "/x?key=$TOKEN", "http_headers": [{"name": "A", "value": "${NO:-a$$b}"}]},
            "timeout_seconds": "${SECONDS}",
        },
        "startup_check": {"exec": {"command": ["sh", "-c", "echo $$HOME $${HOME} ${NOBODY-} $(pwd)"]}},
    }
    loaded = read(text({"model": service(block)}), environ={"TOKEN": "s3cret", "SECONDS": "5"})
    (container,) = loaded.config.containers
    assert container.port == 8000
    liveness, startup = container.liveness[0], container.startup[0]
    assert (liveness.options.path, liveness.options.http_headers[0].value) == ("/x?key=s3cret", "a$b")
    assert liveness.timeout_seconds == 5
    assert startup.options == Exec(command=("sh", "-c", "echo $HOME ${HOME}  $(pwd)"))
    assert loaded.config.secrets == ("s3cret",)
    assert codes(loaded) == []


def test_a_variable_that_is_not_set_is_warned_of_where_it_matters() -> None:
    services = {"model": service({"startup_check": {"http_get": {"path": "/$X", "port": 1}}}, image="x:${TAG}")}
    loaded = read(text(services))
    assert [(one.code, one.path) for one in loaded.warnings] == [
        ("W-COMPOSE-VARIABLE", "services.model.x-health-agent.startup_check.http_get.path")
    ]


def test_a_string_of_a_command_is_split_after_its_references_are_replaced() -> None:
    loaded = read(
        text({"model": service({"startup_check": {"exec": {"command": "test $A = '$${A}'"}}})}), environ={"A": "1"}
    )
    assert loaded.config.containers[0].startup[0].options == Exec(command=("test", "1", "=", "${A}"))


# -- files ----------------------------------------------------------------------------------------------------------


def project(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder / "compose.yaml"


def loaded_from(*paths: Path, environ: dict[str, str] | None = None) -> Loaded:
    return load([SourceRef(str(path), str(path)) for path in paths], environ or {})


def test_the_dotenv_file_beside_it_is_read_below_the_environment(tmp_path: Path) -> None:
    path = project(tmp_path, compose_yaml=text({"model": service({"port": "$PORT"})}), _env="PORT=8001\n")
    loaded = loaded_from(path)
    assert loaded.config.containers[0].port == 8001
    assert loaded.files == (str(path), str(tmp_path / ".env"))
    assert loaded_from(path, environ={"PORT": "8002"}).config.containers[0].port == 8002


def test_several_compose_files_are_one_project(tmp_path: Path) -> None:
    """The second has the healthcheck, the first the block: as `docker compose -f` puts them together."""
    one = project(tmp_path, compose_yaml=text({"model": service({"host": "h", "startup_check": READY})}))
    two = tmp_path / "override.yaml"
    two.write_text(text({"model": {"x-health-agent": {"port": 5, "readiness_check": {"http_get": {}}}}}))
    (container,) = loaded_from(one, two).config.containers
    assert (container.host, container.port, container.readiness[0].options) == ("h", 5, HttpGet())
    assert len(container.startup) == 1


def test_services_are_extended_from_here_and_from_other_files(tmp_path: Path) -> None:
    common = text({"base": service({"port": 1, "liveness_check": READY}), "grand": {"extends": "base", "expose": [7]}})
    services = {
        "a": {"extends": {"file": "parts/common.yaml", "service": "grand"}, "x-health-agent": {"port": 2}},
        "b": {"extends": "a", "x-health-agent": {"liveness_check": {"http_get": {}}}},
    }
    path = project(tmp_path, compose_yaml=text(services), parts__common_yaml=common)
    loaded = loaded_from(path)
    found = loaded.config.containers
    assert [(one.name, one.host, one.port, one.liveness[0].method) for one in found] == [
        ("a", "a", 2, "tcp_socket"), ("b", "b", 2, "http_get"),
    ]  # fmt: skip
    assert loaded.files == (str(path), str(tmp_path / "parts" / "common.yaml"))


def test_included_files_bring_services_with_their_own_dotenv(tmp_path: Path) -> None:
    part = text({"one": service({"port": "${PORT}"})}, include=["../compose.yaml", "deeper.yaml"])
    deeper = text({"two": service({"port": "${PORT}"})})
    other = text({"three": service({"port": "${PORT}"})})
    including = text(
        {"main": service({"port": "${PORT:-1}"})},
        include=["part/compose.yaml", {"path": ["other.yaml"], "env_file": "other.env"}, {"path": "missing.yaml"},
                 "oci://registry.example/x", 5],
    )  # fmt: skip
    path = project(tmp_path, compose_yaml=including, other_yaml=other, other_env="PORT=3\n")
    project(tmp_path / "part", compose_yaml=part, deeper_yaml=deeper, _env="PORT=2\n")
    loaded = loaded_from(path)
    assert {one.name: one.port for one in loaded.config.containers} == {"one": 2, "two": 2, "three": 3, "main": 1}
    assert codes(loaded) == ["W-COMPOSE-FILE", "W-COMPOSE-FILE"]


def test_a_mistake_in_another_file_is_told_with_that_file(tmp_path: Path) -> None:
    path = project(
        tmp_path,
        compose_yaml=text({}, include=["one.yaml", "two.yaml"]),
        one_yaml="services:\n  model:\n    x-health-agent: {prot: 1}\n",
        two_yaml="services: [",
    )
    with pytest.raises(ConfigError) as caught:
        loaded_from(path)
    found = [str(problem).removeprefix(f"{tmp_path}/")[:60] for problem in caught.value.problems]
    assert sorted(found) == [
        "one.yaml:3: services.model.x-health-agent.prot: unknown key,",
        "two.yaml:1: not valid YAML: while parsing a flow node did no",
    ]


def test_odd_names_of_files_are_no_files(tmp_path: Path) -> None:
    odd = ["a\0b", "x" * 5000, "", ".", "/proc/self/mem/x", "~"]
    services = {"model": service(), "other": {"extends": {"file": "a\0b", "service": "x"}}}
    path = project(tmp_path, compose_yaml=text(services, include=[*odd, {"path": odd, "env_file": odd}]))
    assert set(codes(loaded_from(path))) == {"W-COMPOSE-FILE"}


def test_a_hundred_files_that_include_each_other_are_read_once_and_bounded(tmp_path: Path) -> None:
    names = [f"f{number}.yaml" for number in range(100)]
    for number, name in enumerate(names):
        (tmp_path / name).write_text(
            text({f"s{number}": {"extends": {"file": "f0.yaml", "service": "x"}}, "x": {}}, include=names)
        )
    path = project(tmp_path, compose_yaml=text({"model": service()}, include=names))
    loaded = loaded_from(path)
    assert len(loaded.files) <= 40
    assert "W-COMPOSE-FILE" in codes(loaded)


def test_a_long_chain_of_extending_services_ends() -> None:
    services = {f"s{number}": {"extends": f"s{number + 1}"} for number in range(500)}
    lines = problems(text({**services, "s500": service()}))
    assert lines
    assert all("more than 16 services extend each other" in line for line in lines)
