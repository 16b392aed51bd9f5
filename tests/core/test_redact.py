"""Expanded values never leave the agent."""

from hypothesis import given
from hypothesis import strategies as st

from agent.core.redact import REDACTED, redactor


def test_every_secret_is_blotted_out_wherever_it_stands() -> None:
    redact = redactor(["hunter2", "s3cret"])
    assert redact("hunter2 said s3crethunter2.") == f"{REDACTED} said {REDACTED}{REDACTED}."


def test_of_a_secret_within_a_secret_no_half_is_left() -> None:
    assert redactor(["key", "key-of-the-house"])("a key-of-the-house") == f"a {REDACTED}"


def test_an_empty_value_blots_nothing() -> None:
    assert redactor(["", ""])("as it was") == "as it was"


@given(st.lists(st.text("abcdef", min_size=1, max_size=4), max_size=5), st.text("abcdef ", max_size=40))
def test_no_secret_is_left_between_the_blots(secrets: list[str], text: str) -> None:
    shown = redactor(secrets)(text).split(REDACTED)
    assert not any(secret in part for secret in secrets for part in shown)


def test_short_secrets_are_not_found_in_the_blots_themselves() -> None:
    assert redactor(["e", "d", "a", "c"])("cafe") == f"{REDACTED * 2}f{REDACTED}"
