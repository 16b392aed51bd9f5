"""Generated documents: what is valid comes back as it was written, and nothing ever raises anything but ConfigError."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from config.support import problems, read

seconds = st.integers(1, 10**6) | st.floats(0.1, 1e6)
ports = st.integers(1, 65535).filter(lambda port: port != 9809)
words = st.text("abcxyz019", min_size=1, max_size=8).map(lambda text: "n" + text)
methods = st.one_of(
    st.builds(
        lambda path, port: {"http_get": {"path": f"/{path}", "port": port}}, st.text("ab/?=&%20", max_size=9), ports
    ),
    st.builds(lambda port: {"tcp_socket": {"port": port}}, ports),
    st.builds(lambda command: {"exec": {"command": command}}, st.lists(words, min_size=1, max_size=3)),
)


def checks(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    numbers: dict[str, st.SearchStrategy[Any]] = {
        "initial_delay_seconds": st.integers(0, 999),
        "period_seconds": seconds,
        "timeout_seconds": seconds,
        "failure_threshold": st.integers(1, 999),
        "errors_are_failures": st.booleans(),
    }
    if kind == "readiness":
        numbers["success_threshold"] = st.integers(1, 999)
    else:
        numbers["termination_grace_period_seconds"] = seconds
    return st.builds(lambda method, rest: {**method, **rest}, methods, st.fixed_dictionaries({}, optional=numbers))


containers = st.fixed_dictionaries(
    {},
    optional={
        "host": st.sampled_from(["127.0.0.1", "model", "::1"]),
        "port": ports,
        **{
            f"{kind}_check": checks(kind) | st.lists(checks(kind), max_size=3)
            for kind in ("startup", "liveness", "readiness")
        },
    },
)
documents = st.builds(
    lambda found, port: {
        "server": {"port": 9809, "details": "full"},
        "shutdown_delay_seconds": port / 1000,
        "containers": [{"name": f"c{number}", **one} for number, one in enumerate(found)],
    },
    st.lists(containers, min_size=1, max_size=3),
    ports,
)


@given(documents)
def test_a_valid_document_comes_back_as_it_was_written(document: dict[str, Any]) -> None:
    resolved = read(json.dumps(document)).config
    assert resolved.shutdown_delay_seconds == document["shutdown_delay_seconds"]
    for written, container in zip(document["containers"], resolved.containers, strict=True):
        assert (container.name, container.host) == (written["name"], written.get("host", "127.0.0.1"))
        assert container.port == written.get("port")
        for kind, found in (
            ("startup", container.startup),
            ("liveness", container.liveness),
            ("readiness", container.readiness),
        ):
            listed = written.get(f"{kind}_check", [])
            for one, check in zip([listed] if isinstance(listed, dict) else listed, found, strict=True):
                as_resolved = msgspec.to_builtins(check)
                for key, value in one.items():
                    if key == check.method:
                        options = json.loads(msgspec.json.encode(check.options))
                        assert {name: options[name] for name in value} == value
                    else:
                        assert as_resolved[key] == value


JUNK = ["{}", "[]", "[{}]", '{"http_get": null}', '"${X}"', '"${"', '"\\u0000"', '{"a:b": {}}']
junk = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(JUNK).map(json.loads)
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) of a document."""
    found = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(pairs):
        found += [(value, key), *places(child)]
    return found


@settings(max_examples=200)
@given(documents, st.data(), st.sampled_from([{}, {"metadata": {}}]))
def test_no_mutation_raises_anything_but_a_configuration_error(
    document: dict[str, Any], data: st.DataObject, extra: dict[str, Any]
) -> None:
    document = json.loads(json.dumps({**document, **extra}))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places(document)))
        if isinstance(holder, dict) and data.draw(st.booleans()):
            holder[data.draw(st.text(max_size=6) | st.just("restart"))] = data.draw(junk)
        else:
            holder[key] = data.draw(junk)
        if not document:
            break
    assert all("\n" not in line for line in problems(json.dumps(document)))


@given(documents, st.data())
def test_no_damage_to_the_text_raises_anything_but_a_configuration_error(
    document: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(document, indent=1)
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 20))
    put = data.draw(st.text("{}[]:,\"'&*!\n\t ax1", max_size=5))
    problems(text[:at] + put + text[at + cut :])
