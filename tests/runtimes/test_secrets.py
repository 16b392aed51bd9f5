"""What secret files hold is blotted out of whatever leaves the agent."""

from agent.core.redact import REDACTED
from agent.runtimes import secrets


def test_what_was_read_is_blotted_out_also_after_a_rotation() -> None:
    assert secrets.remember("hunter2-from-a-file") == "hunter2-from-a-file"
    secrets.remember("hunter3-from-a-file")
    told = secrets.blotted("was hunter2-from-a-file, is hunter3-from-a-file")
    assert told == f"was {REDACTED}, is {REDACTED}"


def test_what_is_too_short_to_be_a_secret_blots_nothing() -> None:
    secrets.remember("ok")
    assert secrets.blotted("it is ok") == "it is ok"


def test_only_so_many_are_kept() -> None:
    for number in range(secrets.MOST + 1):
        secrets.remember(f"rotated-{number:04}")
    assert secrets.blotted("rotated-0000 rotated-0064") == f"rotated-0000 {REDACTED}"
