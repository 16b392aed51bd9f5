"""Compose's references and `.env` files, by Compose's own rules."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.expand import Expansion
from agent.config.interpolation import Interpolation, dotenv

KNOWN = {"SET": "value", "EMPTY": "", "ONE": "1", "_u9": "under"}


def replaced(text: str, known: dict[str, str] | None = None) -> str:
    return Interpolation(KNOWN if known is None else known, Expansion({})).text(text)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$SET and ${SET}", "value and value"),
        ("$SETTER", ""),
        ("$ONE.$_u9-$ONE", "1.under-1"),
        ("${UNSET}", ""),
        ("$$SET $${SET} $$$SET", "$SET ${SET} $value"),
        ("${SET:-x} ${EMPTY:-x} ${UNSET:-x}", "value x x"),
        ("${SET-x} ${EMPTY-x} ${UNSET-x}", "value  x"),
        ("${SET:+x} ${EMPTY:+x} ${UNSET:+x}", "x  "),
        ("${SET+x} ${EMPTY+x} ${UNSET+x}", "x x "),
        ("${SET:?no} ${SET?no} [${EMPTY?no}]", "value value []"),
        ("${UNSET:-${ALSO:-${SET}}}", "value"),
        ("${UNSET-$SET}/${UNSET:-a$$b}", "value/a$b"),
        ("${UNSET:-a:-b?c}", "a:-b?c"),
        ('${UNSET:-{"a": 1}', '{"a": 1'),
        ("${UNSET:-}}", "}"),
        ("a $ b $5 $(x) $", "a $ b $5 $(x) $"),
        ("${SET:-${}", "value"),
    ],
)
def test_a_reference_is_replaced(text: str, result: str) -> None:
    if text == "${SET:-${}":  # its braces do not close
        with pytest.raises(ValueError, match="without its"):
            replaced(text)
    else:
        assert replaced(text) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${SET", "without its"),
        ("${", "without its"),
        ("${}", "must be followed by NAME"),
        ("${5}", "must be followed by NAME"),
        ("${SET!x}", "must be followed by NAME"),
        ("${SET/a/b}", "must be followed by NAME"),
        ("${UNSET:?tell me}", "the variable UNSET is required: tell me"),
        ("${EMPTY:?}", "the variable EMPTY is required"),
        ("${UNSET?}", "the variable UNSET is required"),
        ("${A:-" * 30 + "}" * 30, "nested too deeply"),
        ("$BIG" * 600, "longer than"),
    ],
)
def test_what_can_not_be_replaced_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replaced(text, {**KNOWN, "BIG": "x" * 2000})


def test_what_came_from_the_environment_is_remembered_as_a_secret_under_its_reference() -> None:
    expansion = Expansion({})
    assert Interpolation({"TOKEN": "s3cret"}, expansion).text("a-$TOKEN ${TOKEN:-x}") == "a-s3cret s3cret"
    assert expansion.secrets == ("s3cret",)
    assert expansion.unexpanded("no s3cret here") == "no ${TOKEN} here"


@given(st.text("${}:-?+AB ", max_size=30))
def test_any_text_is_replaced_or_refused_and_nothing_else(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert "${A}" not in replaced(text, {"A": "1"}) or "$$" in text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1\nB = two words \n", {"A": "1", "B": "two words"}),
        ("# comment\n\n  export A=1\r\nB:2\n", {"A": "1", "B": "2"}),
        ("A=x # note\nB=x#y\nC=#z\n", {"A": "x", "B": "x#y", "C": ""}),
        ("A='$B # x'\nB=\"$A # x\" # note", {"A": "$B # x", "B": "$B # x # x"}),
        ('A="one\\ntwo\\t\\"\\\\\\$HOME"\n', {"A": 'one\ntwo\t"\\$HOME'}),
        ('A="one\ntwo"\nB=3', {"A": "one\ntwo", "B": "3"}),
        ("A=1\nB=$A-${C:-c}-$OVER\n", {"A": "1", "B": "1-c-theirs"}),
        ("A\nnot a line\n=5\n9=1\nB=2", {"B": "2"}),
        ("A=", {"A": ""}),
        ("A=${", {"A": "${"}),
        ('A="open', {"A": '"open'}),
        ("OVER=mine\nA=$OVER", {"OVER": "mine", "A": "theirs"}),
    ],
)
def test_a_dotenv_file_is_read_as_compose_reads_it(text: str, found: dict[str, str]) -> None:
    assert dotenv(text, {"OVER": "theirs"}) == found


@given(st.text("AB='\"$\\#\n\r {}", max_size=60))
def test_no_dotenv_file_is_too_odd(text: str) -> None:
    assert all(name for name in dotenv(text, {}))
