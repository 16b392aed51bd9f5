"""Presets: each is whole and careful, and one's own checks are laid over them by rules that can be foretold."""

import re
from pathlib import Path
from typing import Any

import pytest

from agent.config import ConfigError, SourceRef, load
from agent.config.lint import lint
from agent.config.preset import names
from agent.config.preset_shown import document, presets_shown
from agent.core.explain import detect_best, startup_budget
from agent.core.settings import Container
from config.presets_page import MARK, PAGE, generated
from config.support import config, problems, read

EVERY = names()


def of(name: str, *lines: str, **environ: str) -> Container:
    """A container with this preset and these lines of its own."""
    (found,) = config(document_of(name, *lines), environ=environ).containers
    return found


def document_of(name: str, *lines: str) -> str:
    return "containers:\n  - name: model\n" + "".join(f"    {line}\n" for line in (f"preset: {name}", *lines))


def checks_of(found: Container) -> list[str]:
    return [f"{check.type}/{check.name}" for check in found.checks()]


def test_every_server_of_the_documentation_has_one() -> None:
    assert set(EVERY) == {
        "vllm", "sglang", "tgi", "triton", "torchserve", "tfserving", "mlserver", "kserve", "ray-serve", "bentoml",
        "litserve", "mosec", "llama.cpp", "ollama", "openai", "kserve-v2", "flask",
    }  # fmt: skip


@pytest.mark.parametrize("model", ["", "model: meta/llama"])
@pytest.mark.parametrize("name", EVERY)
def test_each_is_a_whole_and_careful_configuration_by_itself(name: str, model: str) -> None:
    loaded = read(document_of(name, model))
    (found,) = loaded.config.containers
    assert found.startup and found.liveness and found.readiness  # noqa: PT018 - one fact
    assert found.port is not None
    assert {problem.code for problem in loaded.warnings} <= {"W-PRESET-MODEL", "W-PRESET-CANARY"}
    warned = {finding.code for finding in lint(loaded.config)}
    gaugeless = name in {"kserve", "torchserve", "tfserving"}  # W-PRESET-CANARY says what to do about it
    assert warned <= ({"W-PROGRESS-GAUGES"} if gaugeless else set()), "it warns of itself"


@pytest.mark.parametrize("name", EVERY)
def test_each_gives_a_load_twice_its_usual_time_and_is_slow_to_kill(name: str) -> None:
    found = of(name)
    assert found.load_seconds is not None
    assert all(startup_budget(check) >= 1.99 * found.load_seconds for check in found.startup)
    asking = [check for check in found.liveness if check.method == "http_get"]
    assert asking
    assert all(detect_best(check) >= 100 and check.timeout_seconds >= 10 for check in asking)
    assert all(check.method in {"http_get", "progress", "inference"} for check in found.checks())


@pytest.mark.parametrize("name", EVERY)
def test_each_tells_its_versions_its_sources_and_its_blind_spots(name: str) -> None:
    (shown,) = presets_shown(name)
    assert shown["title"]
    assert shown["versions"]
    assert shown["blind_spots"]
    assert all(re.fullmatch(r"https://\S+", source) for source in shown["sources"])


@pytest.mark.parametrize("name", EVERY)
def test_what_is_shown_of_it_is_a_document_that_means_the_same(name: str) -> None:
    (shown,) = presets_shown(name, "resnet")
    (spelt,) = config(document(shown)).containers
    assert spelt == of(name, "model: resnet")


@pytest.mark.parametrize("name", EVERY)
def test_a_check_that_is_used_on_request_can_be_requested(name: str) -> None:
    (shown,) = presets_shown(name)
    for one in shown["on_request"]:
        own = f"{one['type']}_check: [{{name: {one['name']}, inference: {{path: /p, body: {{input: 1}}}}}}]"
        found = of(name, "model: resnet", own)
        assert f"{one['type']}/{one['name']}" in checks_of(found)
        assert not [w for w in read(document_of(name, "model: resnet", own)).warnings if "canary" in w.path]


def test_the_page_tells_of_each_what_its_data_says() -> None:
    assert PAGE.read_text(encoding="utf-8").partition(MARK)[2].strip() == generated().strip(), (
        "run: python -m tests.config.presets_page"
    )


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["TF-Serving", "tf_serving", "LlamaCpp", "llama-cpp", "Ray Serve", "vLLM", "KServe V2"]
)
def test_names_are_matched_as_people_write_them(name: str) -> None:
    assert of(name).checks()


def test_an_unknown_name_is_told_with_what_was_probably_meant() -> None:
    (told,) = problems(document_of("vlm"))
    assert told.startswith("config.yaml:3: containers[0].preset: no such preset, did you mean 'vllm'? (a file of your")
    assert "there are bentoml, flask, kserve" in problems(document_of("whatever"))[0]
    assert problems(document_of("12")) == [
        "config.yaml:3: containers[0].preset: expected a string, got a number: quote it"
    ]


# -- one's own words over it -------------------------------------------------------------------------------------------

VLLM = ["startup/answers", "readiness/models", "readiness/canary", "liveness/answers", "liveness/progress"]


@pytest.mark.parametrize(
    ("what", "lines", "found"),
    [
        ("nothing written", (), VLLM),
        ("null is nothing written", ("liveness_check: null",), VLLM),
        ("an empty list is none", ("liveness_check: []",), VLLM[:3]),
        ("another check replaces a type's", ("liveness_check: {http_get: {}}",), [*VLLM[:3], "liveness/http_get"]),
        ("a known name changes that check", ("liveness_check: [{name: answers, period_seconds: 20}]",), VLLM),
        ("in a map as in a list", ("liveness_check: {name: answers, period_seconds: 20}",), VLLM),
        (
            "a known name among others stands for its check",
            ("liveness_check: [{name: progress}, {tcp_socket: {}}]",),
            [*VLLM[:3], "liveness/progress", "liveness/tcp_socket"],
        ),
        ("numbers alone change the only one", ("startup_check: {failure_threshold: 720}",), VLLM),
        ("a known name of another type is one's own", ("startup_check: {name: progress, http_get: {}}",),
         ["startup/progress", *VLLM[1:]]),
    ],
)  # fmt: skip
def test_own_checks_are_laid_over_the_presets(what: str, lines: tuple[str, ...], found: list[str]) -> None:
    assert checks_of(of("vllm", *lines)) == found, what


def test_what_is_written_changes_the_named_check_field_by_field() -> None:
    found = of(
        "vllm",
        "startup_check: {failure_threshold: 720}",
        "liveness_check: [{name: progress, progress: {hung_after_seconds: 300}}]",
        "readiness_check: [{name: models, tcp_socket: {}}]",
    )
    (startup,) = found.startup
    assert (startup.failure_threshold, startup.period_seconds, startup.options.path) == (720, 5, "/health")
    progress = next(check for check in found.liveness if check.name == "progress")
    assert (progress.options.server, progress.options.hung_after_seconds) == ("vllm", 300)
    assert found.readiness[0].method == "tcp_socket", "another method replaces the preset's"


def test_changes_that_name_no_check_are_an_error_where_there_are_several() -> None:
    (told,) = problems(document_of("vllm", "liveness_check: {period_seconds: 20}"))
    where, said = "config.yaml:4: containers[0].liveness_check", "names no method, and none of the preset's checks"
    assert told == f"{where}: {said}: answers, progress"


def test_a_name_twice_is_an_error_as_ever() -> None:
    twice = "liveness_check: [{name: answers}, {name: answers}]"
    (told,) = problems(document_of("vllm", twice))
    assert told.endswith("liveness_check[1].name: a second liveness check named 'answers', the first is on line 4")


def test_what_is_wrong_with_a_change_is_told_where_it_is_written() -> None:
    wrong = "liveness_check: [{name: answers, http_get: {prot: 1}, period_seconds: 0}]"
    assert problems(document_of("vllm", "port: 8000", wrong)) == [
        "config.yaml:5: containers[0].liveness_check[0].period_seconds: 0 is below the minimum of 0.1",
        "config.yaml:5: containers[0].liveness_check[0].http_get.prot: unknown key, did you mean 'port'?",
    ]


def test_a_file_laid_over_another_may_change_a_presets_check() -> None:
    (found,) = config(
        document_of("vllm"), "containers: [{name: model, startup_check: {failure_threshold: 9}}]"
    ).containers
    assert found.startup[0].failure_threshold == 9


def test_ports_are_the_servers_unless_the_container_says_otherwise() -> None:
    assert (of("triton").port, of("triton").ports) == (8000, {"metrics": 8002})
    assert of("triton", "port: null").port == 8000
    found = of("triton", "port: 9000", "ports: {metrics: 9002, grpc: 9001}")
    assert (found.port, found.ports) == (9000, {"metrics": 9002, "grpc": 9001})


def test_a_load_that_takes_longer_than_usual_may_be_told_and_is_warned_of() -> None:
    loaded = read(document_of("vllm", "load_seconds: 3600"))
    assert [finding.code for finding in lint(loaded.config)] == ["W-STARTUP-BUDGET"]


# -- the model ---------------------------------------------------------------------------------------------------------


def test_the_models_name_is_put_where_the_preset_needs_it() -> None:
    (ready,) = of("triton", "model: meta/llama").readiness
    assert ready.options.path == "/v2/models/meta%2Fllama/ready"
    canary = of("vllm", "model: meta/llama").readiness[1]
    assert canary.options.model == "meta/llama"
    assert of("vllm").readiness[1].options.model is None


def test_without_it_a_stand_in_is_used_and_told() -> None:
    loaded = read(document_of("triton"))
    assert [check.options.path for check in loaded.config.containers[0].readiness] == ["/v2/health/ready"]
    (told,) = [str(w) for w in loaded.warnings if w.code == "W-PRESET-MODEL"]
    assert told.startswith("config.yaml:3: containers[0].preset: W-PRESET-MODEL: without the model's name")
    assert told.endswith("readiness_check goes without model: add `model` (HEALTH_AGENT_MODEL)")


def test_the_models_name_may_come_from_the_environment() -> None:
    found = of("triton", "model: ${MODEL}", MODEL="res${net}")
    assert found.readiness[0].options.path == "/v2/models/res%24%7Bnet%7D/ready"
    assert of("vllm", "model: ${MODEL}", MODEL="res${net}").readiness[1].options.model == "res${net}"
    assert "MODEL is not set" in problems(document_of("triton", "model: ${MODEL}"))[0]


def test_the_environment_alone_is_enough() -> None:
    environ = {"HEALTH_AGENT_PRESET": "tfserving", "HEALTH_AGENT_MODEL": "m", "HEALTH_AGENT_TARGET_PORT": "9501"}
    (found,) = load([], environ).config.containers
    assert (found.name, found.port) == ("model", 9501)
    assert found.readiness[0].options.path == "/v1/models/m"
    environ["HEALTH_AGENT_STARTUP_CHECK"] = "{name: loaded, failure_threshold: 9}"
    (found,) = load([], environ).config.containers
    assert found.startup[0].failure_threshold == 9


# -- what it cannot see ------------------------------------------------------------------------------------------------


def test_what_it_cannot_see_is_for_explain_and_what_it_lacks_is_a_warning() -> None:
    loaded = read(document_of("litserve"))
    assert [w.code for w in loaded.warnings] == ["W-PRESET-CANARY"]
    assert str(loaded.warnings[0]).endswith("liveness_check: [{name: canary, inference: {...}}]")
    assert {spot.code for spot in loaded.blind_spots} == {"W-PRESET-BLIND"}
    assert str(loaded.blind_spots[0]).startswith(
        "config.yaml:3: containers[0].preset: W-PRESET-BLIND: LitServe: /health"
    )
    with_canary = read(document_of("litserve", "liveness_check: [{name: canary, inference: {body: {input: 3}}}]"))
    assert with_canary.warnings == []
    assert [finding.code for finding in lint(with_canary.config)] == ["W-CANARY-ALONE"]


# -- files of one's own ------------------------------------------------------------------------------------------------


def write(folder: Path, text: str, name: str = "my.yaml") -> Path:
    (folder / name).write_text(text)
    (folder / "config.yaml").write_text(document_of(f"./{name}"))
    return folder / "config.yaml"


def loaded_from(path: Path) -> Any:
    return load([SourceRef(str(path), str(path))], {})


def mistakes(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded_from(path)
    return [str(problem).removeprefix(f"{path.parent}/") for problem in caught.value.problems]


def test_ten_lines_describe_a_server_that_nobody_has_named(tmp_path: Path) -> None:
    """Those of docs/presets.md."""
    text = re.search(r"```yaml\n# my-server.yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert text
    assert len(text[1].splitlines()) <= 10
    loaded = loaded_from(write(tmp_path, text[1]))
    (found,) = loaded.config.containers
    assert checks_of(found) == ["startup/up", "liveness/up", "liveness/progress"]
    assert (found.port, found.load_seconds) == (9000, 120)
    assert loaded.files == (str(tmp_path / "config.yaml"), str(tmp_path / "my.yaml")), "it is followed for changes too"
    assert [spot.message for spot in loaded.blind_spots] == [
        "My server: a request longer than two minutes looks like a hang"
    ]


def test_a_path_begins_where_the_document_is_and_elsewhere_where_the_agent_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "port: 9000\nliveness_check: {tcp_socket: {}}")
    monkeypatch.chdir(tmp_path)
    assert load([], {"HEALTH_AGENT_PRESET": "./my.yaml"}).config.containers[0].port == 9000
    monkeypatch.chdir("/")
    assert loaded_from(tmp_path / "config.yaml").config.containers[0].port == 9000
    assert load([], {"HEALTH_AGENT_PRESET": f"{tmp_path}/my.yaml"}).config.containers[0].port == 9000


def test_a_file_may_extend_a_built_in_one(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "extends: litserve\ntitle: Our LitServe\nport: 9000\nblind_spots: [the moon]\n"
        "startup_check: {name: health, failure_threshold: 500}\n"
        "liveness_check: [{name: canary, on_request: false, inference: {body: {input: 3}}}]\n"
        "readiness_check: {name: mine, without_model: true, http_get: {path: /mine}}\n",
    )
    loaded = loaded_from(path)
    (found,) = loaded.config.containers
    assert checks_of(found) == ["startup/health", "readiness/mine", "liveness/health", "liveness/canary"]
    assert (found.port, found.load_seconds, found.startup[0].failure_threshold) == (9000, 300, 500)
    assert found.liveness[1].options.path == "/predict"
    assert loaded.blind_spots[-1].message == "Our LitServe: the moon"
    assert len(loaded.blind_spots) == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot: 1\nliveness_check: []", ["my.yaml:1: prot: unknown key, did you mean 'port'?"]),
        ("port: 80\nliveness_check: {http_get: {pth: /}}",
         ["my.yaml:2: containers[0].liveness_check.http_get.pth: unknown key, did you mean 'path'?"]),
        ("liveness_check: {http_get: {}}",
         ["my.yaml:1: containers[0].liveness_check.http_get: needs a port: give it one, or give its container a port"]),
        ("extends: ./other.yaml", ["my.yaml:1: extends: must be the name of a built-in preset"]),
        ("extends: vlm", ["my.yaml:1: extends: no such preset, did you mean 'vllm'?"]),
        ("- a list", ["my.yaml:1: expected one map, with keys such as port, startup_check and liveness_check"]),
        ("", ["my.yaml: expected one map, with keys such as port, startup_check and liveness_check"]),
        ("port: [", ["my.yaml:1: not valid YAML: "]),
        ("port: 80\nliveness_check: {http_get: {}, on_request: 1, without_model: x}",
         ["my.yaml:2: liveness_check.on_request: expected true or false, or what is lost without it",
          "my.yaml:2: liveness_check.without_model: expected true or false"]),
        ("port: 80\nliveness_check: 5", ["my.yaml:2: containers[0].liveness_check: expected a check"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_where_it_is(tmp_path: Path, text: str, told: list[str]) -> None:
    found = [line.removeprefix("./") for line in mistakes(write(tmp_path, text))]
    assert [line[: len(begins)] for line, begins in zip(found, told, strict=True)] == told


def test_a_file_that_is_not_there_is_told() -> None:
    assert problems(document_of("./nowhere.yaml")) == ["./nowhere.yaml: cannot be read: No such file or directory"]
