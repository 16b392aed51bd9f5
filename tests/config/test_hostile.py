"""Documents that mean harm, and places that are no documents: one clear line each, soon and in little memory."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.config import ConfigError, SourceRef, find_sources, load
from agent.config.sources import STDIN, read_text
from config.support import model, problems

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)
GOOD = model("liveness_check: {http_get: {}}")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[" * 5000 + "]" * 5000, "config.yaml:1: more than 64 levels of nesting"),
        ("containers: " + "[" * 5000, "config.yaml:1: more than 64 levels of nesting"),
        ("{a: " * 5000, "config.yaml:1: more than 64 levels of nesting"),
        ('{"a": ' * 5000, "config.yaml:1: more than 64 levels of nesting"),
        ("".join(" " * depth + "a:\n" for depth in range(500)), "config.yaml:65: more than 64 levels of nesting"),
        ("- " * 5000, "config.yaml:1: more than 64 levels of nesting"),
        (BOMB, "config.yaml:5: more than 20000 values (aliases count as what they stand for)"),
        ("".join(f"key{number}: 1\n" for number in range(30_000)), "config.yaml:20000: more than 20000 values"),
        ("containers: []\n\0", "config.yaml:2: binary data (it holds a NUL byte), not a YAML or JSON document"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "config.yaml:1: binary data"),
        (GOOD.encode("utf-16"), "config.yaml:1: encoded in UTF-16 or UTF-32: save it as UTF-8"),
        (GOOD.encode("utf-32"), "config.yaml:1: encoded in UTF-16 or UTF-32: save it as UTF-8"),
        ('{"containers": []}'.encode("utf-16-le"), "config.yaml:1: encoded in UTF-16 or UTF-32: save it as UTF-8"),
        ("a: 1\nb: é".encode("latin-1"), "config.yaml:2: not UTF-8 (byte 0xe9): save it as UTF-8"),
        ("", "config.yaml:1: is empty: expected a configuration"),
        ("# nothing\n---\n", "config.yaml:1: is empty: expected a configuration"),
        ("just words", "config.yaml:1: expected a map at the top level"),
        (b"x" * (2 << 20), "config.yaml: larger than 1 MiB: not a configuration"),
    ],
    ids=range(18),
)
def test_a_hostile_document_costs_one_clear_line(document: str | bytes, message: str) -> None:
    lines = [line for line in problems(document) if "duplicate key" not in line]
    assert len(lines) == 1
    assert lines[0].startswith(message)


def test_a_document_of_nothing_but_errors_is_still_told_in_full() -> None:
    lines = problems(GOOD + "".join(f"key{number}: 1\n" for number in range(5000)))
    assert len(lines) == 5000


def test_a_byte_order_mark_of_utf_8_is_no_error() -> None:
    assert problems(b"\xef\xbb\xbf" + GOOD.encode()) == []


def wrong(path: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load([SourceRef("c.yaml", str(path))], {})
    (problem,) = caught.value.problems
    return str(problem)


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(50 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert wrong(path) == "c.yaml: larger than 1 MiB: not a configuration"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10  # KiB


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nonexistent/c.yaml", "c.yaml: cannot be read: No such file or directory"),
        ("/", "c.yaml: cannot be read: it is a directory, give a file in it"),
        ("/dev/zero", "c.yaml: larger than 1 MiB: not a configuration"),
        ("/dev/null", "c.yaml:1: is empty: expected a configuration"),
        ("a\0b", "c.yaml: cannot be read: its path holds a NUL character"),
    ],
)
def test_what_is_no_file_is_one_clear_line(path: str, message: str) -> None:
    assert wrong(path) == message


def test_a_file_without_permission_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    assert wrong(path) == "c.yaml: cannot be read: Permission denied"


def test_a_fifo_that_never_ends_is_given_up_soon(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        os.write(writer, b"containers:\n")
        began = time.monotonic()
        assert wrong(path).startswith("c.yaml: did not end within 0.5 s")
        assert time.monotonic() - began < 1
    finally:
        os.close(writer)


def test_a_pipe_that_ends_is_read_as_a_shell_gives_it() -> None:
    reader, writer = os.pipe()
    os.write(writer, GOOD.encode())
    os.close(writer)
    try:
        assert load([SourceRef("c.yaml", f"/dev/fd/{reader}")], {}).config.containers[0].name == "model"
    finally:
        os.close(reader)


def test_standard_input_is_read_once_and_kept() -> None:
    script = (
        "from agent.config import find_sources, load\n"
        "sources = find_sources(['-', '-'], {})\n"
        "print([load(sources, {}).config.containers[0].name for _ in range(2)], [s.name for s in sources])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=GOOD, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "['model', 'model'] ['<stdin>']\n", done.stderr


def test_sources_are_looked_for_in_their_order(tmp_path: Path) -> None:
    default = tmp_path / "config.yaml"
    missing = str(tmp_path / "none.yaml")
    environ = {"HEALTH_AGENT_CONFIG": "/b.yaml"}
    assert [source.path for source in find_sources(["a", "b"], environ)] == ["a", "b"]
    assert [source.path for source in find_sources([], environ, missing)] == ["/b.yaml"]
    assert find_sources([], {}, missing) == []
    assert find_sources([], {"HEALTH_AGENT_CONFIG": ""}, missing) == []
    default.write_text(GOOD)
    assert [source.path for source in find_sources([], {}, str(default))] == [str(default)]
    assert [(source.name, source.path) for source in find_sources(["-"], {})] == [(STDIN, None)]


@pytest.mark.parametrize(
    "document", ['{"containers": [{"name": "a"}]}', " {containers: [{name: a}]}", "containers:\n- name: a"]
)
def test_the_variable_may_hold_the_document_itself(document: str) -> None:
    environ = {"HEALTH_AGENT_CONFIG": document}
    sources = find_sources([], environ)
    assert read_text(sources[0]) == document
    assert load(sources, environ).config.containers[0].name == "a"
    broken = find_sources([], {"HEALTH_AGENT_CONFIG": document.replace("name", "nmae")})
    with pytest.raises(ConfigError, match=r"HEALTH_AGENT_CONFIG:[12]: containers\[0\].nmae"):
        load(broken, {})
