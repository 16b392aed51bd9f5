"""The status page: one file under a strict policy, with nothing in it that could run what a target says."""

import base64
import hashlib
import re

from agent.server.status_page import PAGE, policy
from tests.server.known import Known, serving

TEXT = PAGE.read_text(encoding="utf-8")


async def test_the_page_is_served_under_a_policy_that_names_its_own_script_and_style() -> None:
    async with serving(Known()) as agent:
        status, body, headers = await agent.fetch("/")
        assert (status, body) == (200, TEXT)
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert headers["content-security-policy"] == policy(TEXT)
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"


def test_the_policy_permits_no_other_source_no_inline_code_and_no_frame() -> None:
    script = re.findall(r"<script>(.*)</script>", TEXT, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    given = policy(TEXT)
    assert f"script-src 'sha256-{digest}';" in given
    assert "default-src 'none'" in given
    assert "frame-ancestors 'none'" in given
    assert "unsafe" not in given


def test_the_page_loads_nothing_from_elsewhere_and_builds_no_markup_from_text() -> None:
    urls = set(re.findall(r"https?://[^\s\"']+", TEXT))
    assert urls == {"http://www.w3.org/2000/svg"}  # a name, never fetched
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        " style=",
        " onclick=",
    ):
        assert forbidden not in TEXT, forbidden


def test_the_page_asks_by_relative_paths_so_that_it_works_behind_a_prefix() -> None:
    assert not re.findall(r"(?:href|fetch\(|ask\(|EventSource\()=?[\"'`]/", TEXT)


def test_the_page_speaks_to_everybody() -> None:
    for word in ('lang="en"', "<noscript>", 'role="status"', 'role="alert"', "prefers-color-scheme", 'name="viewport"'):
        assert word in TEXT, word
