"""What YAML and JSON mean here: types, YAML 1.1's surprises, anchors, and lines."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.parse import parse
from agent.config.syntax import resolved
from agent.config.tree import plain


def value(text: str, name: str = "c.yaml") -> Any:
    parsed = parse(text, name)
    assert parsed.problems == []
    (root,) = parsed.documents
    return plain(root)


def wrong(text: str, name: str = "c.yaml") -> list[str]:
    return [str(problem) for problem in parse(text, name).problems]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", None), ("~", None), ("null", None), ("NULL", None),
        ("true", True), ("Yes", True), ("on", True), ("no", False), ("OFF", False),
        ("0", 0), ("-7", -7), ("8000", 8000), ("1_000", 1000), ("0x1F", 31),
        ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("-2.5E-1", -0.25),
        ("010", "010"), ("1:30", "1:30"), ("2001-01-01", "2001-01-01"), ("1__0", "1__0"), ("0o17", "0o17"),
        ("y", "y"), (".inf", ".inf"), ("1.2.3", "1.2.3"), ("10s", "10s"), ("200-399", "200-399"),
        ("9" * 80, "9" * 80),
    ],
)  # fmt: skip
def test_an_unquoted_word_means_what_people_expect(text: str, meaning: object) -> None:
    found = resolved(text)
    assert (found, type(found)) == (meaning, type(meaning))


@pytest.mark.parametrize("text", ['"8000"', "'8000'", "!!str 8000", "|-\n  8000", "! 8000"])
def test_a_quoted_number_is_a_string(text: str) -> None:
    assert value(f"a: {text}\n") == {"a": "8000"}


def test_keys_are_words_whatever_they_look_like() -> None:
    assert value("on: 1\n80: 2\nnull: 3\n") == {"on": 1, "80": 2, "null": 3}


def test_json_is_read_as_json_tabs_and_escapes_included() -> None:
    text = '{\n\t"a": [1, -2.5e3, true, false, null, "\\u00e9\\/\\ud83d\\ude00\\n", {}, []],\r\n\t"b": {"c":1}}'
    assert value(text) == json.loads(text)


texts = st.text(st.characters(codec="utf-8"))
leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts
)


@given(
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
    )
)
def test_every_json_document_reads_as_the_standard_library_reads_it(document: Any) -> None:
    assert value(json.dumps({"a": document}, indent=1)) == {"a": document}
    assert value(json.dumps({"a": document}, ensure_ascii=False), "c.json") == {"a": document}


def test_braces_that_are_not_json_are_yaml() -> None:
    assert value("{a: 1, b: [x, 'y',], # comment\n}") == {"a": 1, "b": ["x", "y"]}


def test_a_json_file_is_told_about_json() -> None:
    assert wrong('{"a": 1,\n "b": [1,]}', "c.json") == ["c.json:2: not valid JSON: expected a value, found ']'"]
    assert wrong('{"a": 1} x', "c.json") == ["c.json:1: not valid JSON: expected nothing more, found 'x'"]
    assert wrong('{"a": "x\ny"}', "c.json") == ["c.json:1: not valid JSON: Invalid control character at"]
    assert wrong('{"a": 1', "c.json") == ["c.json:1: not valid JSON: expected , or }, found the end"]


def test_anchors_merge_keys_and_aliases_work() -> None:
    text = """
base: &base {path: /health, port: 1}
ports: &ports [1, 2]
a: {<<: *base, port: 2}
b: *base
c: *ports
d: {<<: [{x: 1}, *base], x: 3}
"""
    found = value(text)
    assert found["a"] == {"path": "/health", "port": 2}
    assert (found["b"], found["c"]) == (found["base"], [1, 2])
    assert found["d"] == {"path": "/health", "port": 1, "x": 3}


def test_what_an_alias_or_a_merge_brings_knows_where_it_is_used() -> None:
    (root,) = parse("a: &a\n  b: {c: 1}\nd: *a\ne:\n  <<: *a\n", "c.yaml").documents
    assert (root.at("d.b.c").path, root.at("d.b.c").line, root.at("d").line) == ("d.b.c", 2, 3)
    assert (root.at("e.b.c").path, root.at("e.b").path) == ("e.b.c", "e.b")


def test_a_quoted_double_arrow_is_a_key_like_any_other() -> None:
    assert value('a: {"<<": {b: 1}}') == {"a": {"<<": {"b": 1}}}


def test_all_duplicate_keys_are_told_with_the_line_of_the_first() -> None:
    assert wrong("a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n") == [
        "c.yaml:2: b.c: duplicate key, first on line 2",
        "c.yaml:3: a: duplicate key, first on line 1",
        "c.yaml:4: a: duplicate key, first on line 1",
    ]
    assert wrong('{"a": 1,\n"a": 2}') == ["c.yaml:2: a: duplicate key, first on line 1"]
    assert wrong("x: &x {k: 1}\na:\n  <<: *x\n  <<: *x\n") == ["c.yaml:4: a.<<: duplicate key, first on line 3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]", "c.yaml:1: the alias *a holds itself"),
        ("a: *b", "c.yaml:1: the alias *b has no anchor &b before it"),
        (
            "a: {b: ${C}}",
            "c.yaml:1: not valid YAML: while parsing a flow mapping did not find expected ',' or '}' (within",
        ),
        ("? [a]\n: 1", "c.yaml:1: a key must be a word, not a map, a list or an alias"),
        ("a: 1\nb: {<<: 3}", "c.yaml:2: `<<` takes a map, or a list of maps"),
        ("a: !!binary aGk=", "c.yaml:1: the tag !!binary is not read here, remove it"),
        ("a: !thing {}", "c.yaml:1: the tag !thing is not read here, remove it"),
        ("a: !!python/name:os.system ''", "c.yaml:1: the tag !!python/name:os.system is not read here, remove it"),
        ("a: !!set {x}", "c.yaml:1: the tag !!set is not read here, remove it"),
        ("a: b: c", "c.yaml:1: not valid YAML: mapping values are not allowed in this context"),
        ("a: \x07", "c.yaml:1: not valid YAML: control characters are not allowed"),
        ("%YAML 9.0\n---\na: 1", "c.yaml:1: not valid YAML"),
        ("k" * 1001 + ": 1", "c.yaml:1: "),
        ('{"a": "\\ud800"}', "c.yaml:1: half of a surrogate pair in a string"),
        ('{"a": ' + "9" * 5000 + "}", "c.yaml:1: "),
    ],
)
def test_what_can_not_be_read_is_one_line_with_its_place(text: str, message: str) -> None:
    lines = wrong(text)
    if lines:  # a number of 5000 digits is a string in YAML
        (line,) = lines
        assert line.startswith(message)
    else:
        assert "9" * 5000 in text


@given(st.text(st.characters(codec="utf-8"), max_size=200) | st.text("{}[]:,-&*<!|>#'\" \n\tax1", max_size=60))
def test_no_text_whatever_raises(text: str) -> None:
    parsed = parse(text, "c.yaml")
    assert parsed.problems or parsed.documents or not text.strip("\ufeff") or parsed.fault is None
