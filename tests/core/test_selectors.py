"""Names of series with conditions on their labels, as configuration writes them."""

import pytest

from agent.core.samples import parse
from agent.core.selectors import Selector, selector
from agent.core.series import SERIES, SERVER_NAMES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("vllm:x_total", Selector("vllm:x_total")),
        (":tensorflow:serving:request_count", Selector(":tensorflow:serving:request_count")),
        ('a{code="200"}', Selector("a", (("code", True, "200"),))),
        (' a { code != "200" , x="" } ', Selector("a", (("code", False, "200"), ("x", True, "")))),
        ("a{}", Selector("a")),
    ],
)
def test_a_name_and_its_conditions_are_read(text: str, found: Selector) -> None:
    assert selector(text) == found


@pytest.mark.parametrize(
    "text", ["", "a b", "1a", "a{", "a}", 'a{b=~"c"}', "a{b}", "a{b='c'}", 'a{b="c" d="e"}', "sum(a)"]
)
def test_what_is_no_name_is_told_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"label="):
        selector(text)


@pytest.mark.parametrize(
    ("text", "line", "taken"),
    [
        ('a{code="200"}', 'a{code="200",endpoint="/"} 1', True),
        ('a{code="200"}', 'a{code="408"} 1', False),
        ('a{code="200"}', "a 1", False),
        ('a{code!="200"}', 'a{code="408"} 1', True),
        ('a{code!="200"}', "a 1", True),
        ('a{r!="x",r!="y"}', 'a{r="y"} 1', False),
        ('a{r=""}', "a 1", True),
    ],
)
def test_conditions_are_about_labels_and_an_absent_one_is_empty(text: str, line: str, taken: bool) -> None:
    sample = parse(line)
    assert sample is not None
    assert selector(text).takes(sample) is taken


def test_a_name_with_colons_has_the_spelling_without_them_too() -> None:
    assert selector("vllm:x").spellings == ("vllm:x", "vllm_x")
    assert selector("tgi_x").spellings == ("tgi_x",)


def test_every_servers_series_can_be_read() -> None:
    assert tuple(SERIES) == SERVER_NAMES
    for series in SERIES.values():
        for text in (*series.busy, *series.waiting, *series.counters, *series.arrivals):
            selector(text)
        assert series.counters, "without progress there is nothing to judge"
