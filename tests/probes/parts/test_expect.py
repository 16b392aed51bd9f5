"""Expectations beyond the status, and how they are refused when they make no sense."""

import asyncio
import time

import pytest

from agent.probes.parts.expect import Expect


@pytest.mark.parametrize(
    ("given", "status", "accepted"),
    [
        ((), 200, False),
        (None, 200, None),
        ((200, "300-399"), 200, True),
        ((200, "300-399"), 302, True),
        ((200, "300-399"), 204, False),
        (("503",), 503, True),
    ],
)
def test_statuses_are_single_ones_and_ranges(
    given: tuple[int | str, ...] | None, status: int, accepted: object
) -> None:
    assert Expect(status=given).accepts(status) is accepted


@pytest.mark.parametrize(
    ("path", "value", "met"),
    [
        ("$.state", "READY", True),
        ("$.state", "ready", False),
        ("$.models[1].loaded", True, True),
        ("$.models[1].loaded", 1, False),
        ("$.models[2].loaded", True, False),
        ("$['a.b']", 1.0, True),
        ('$["a.b"]', 1, True),
        ("$.nothing", None, False),
        ("$.null", None, True),
        ("$.models", [{"loaded": False}, {"loaded": True}], True),
        ("$.state.deeper", 1, False),
    ],
)
async def test_json_values_are_compared_as_json(path: str, value: object, met: bool) -> None:
    body = b'{"state": "READY", "models": [{"loaded": false}, {"loaded": true}], "a.b": 1, "null": null}'
    assert (await Expect(json={path: value}).unmet(body) is None) is met


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 10000, b"\xff\xfe", b"{}" + b" " * 10240])
async def test_a_body_that_is_no_json_is_unmet_and_said_so_without_its_text(body: bytes) -> None:
    unmet = await Expect(json={"$.a": 1}).unmet(body[:10240])
    assert unmet is not None
    assert unmet.startswith("json: ")


@pytest.mark.parametrize(
    ("pattern", "met"), [(r'"ready":\s*true', True), ("^x", False), ("(?i)READY", True), ("ü", True)]
)
async def test_a_regular_expression_is_searched_in_the_body(pattern: str, met: bool) -> None:
    assert (await Expect(body_regex=pattern).unmet('{"ready": true, "ü": 1}'.encode()) is None) is met


async def test_a_regular_expression_that_takes_for_ever_neither_blocks_the_loop_nor_outlives_the_deadline() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    turning = asyncio.ensure_future(turn())
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await Expect(body_regex="(a+)+$").unmet(b"a" * 5000 + b"!")
    assert time.monotonic() - start < 2
    assert turns > 3
    turning.cancel()
    await asyncio.wait([turning])


@pytest.mark.parametrize(
    ("expect", "path"),
    [
        (Expect(status=("200-",)), "status[0]"),
        (Expect(status=(200, "399-200")), "status[1]"),
        (Expect(status=("099",)), "status[0]"),
        (Expect(status=()), "status"),
        (Expect(body_regex="("), "body_regex"),
        (Expect(body_regex="a\0"), "body_regex"),
        (Expect(json={"state": 1}), "json.state"),
        (Expect(json={"$.a[x]": 1}), "json.$.a[x]"),
        (Expect(json={"$..a": 1}), "json.$..a"),
    ],
)
def test_an_expectation_that_makes_no_sense_is_told(expect: Expect, path: str) -> None:
    assert [found for found, _ in expect.check_options()] == [path]


def test_sensible_expectations_have_no_problems() -> None:
    assert Expect(status=("200-399", 204), body_contains="x", body_regex="a|b", json={"$": {}}).check_options() == []
