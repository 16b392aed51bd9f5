"""Addresses are read as Go reads them (P3 and the kubelet's formatURL)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes.parts.faults import Fault
from agent.probes.parts.url import first_url, next_url


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/"),
        ("/path", "/path"),
        ("path", "/path"),
        ("?foo", "/?foo"),
        ("/path?bar", "/path?bar"),
        ("/path?", "/path?"),
        ("/a#fragment", "/a"),
        ("/a?b#fragment", "/a?b"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a b", "/a%20b"),
        ("/ü", "/%C3%BC"),
        ("/%zz?x", "/%25zz%3Fx"),
        ("http://other:1/x?y", "/x?y"),
        ("//other/x", "/x"),
        ("/a?b=c d&e=%2F", "/a?b=c%20d&e=%2F"),
    ],
)
def test_p3_the_path_becomes_the_request_target(path: str, target: str) -> None:
    assert first_url("http", "localhost", 93, path).target == target


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("localhost", "localhost:80"),
        ("127.0.0.1", "127.0.0.1:80"),
        ("::1", "[::1]:80"),
        ("fe80::1%eth0", "[fe80::1]:80"),
    ],
)
def test_the_host_header_always_names_the_port_and_never_a_zone(host: str, authority: str) -> None:
    assert first_url("http", host, 80, "/").authority == authority


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x", "http://h:1/x"),
        ("x?q", "http://h:1/a/x?q"),
        ("?q", "http://h:1/a/b?q"),
        ("../x", "http://h:1/x"),
        ("//other/x", "http://other/x"),
        ("https://h/", "https://h/"),
        ("HTTP://h:2", "http://h:2/"),
        ("http://user:pass@h:3/x", "http://h:3/x"),
        ("http://[::1]:4/x", "http://[::1]:4/x"),
    ],
)
def test_a_location_is_resolved_against_its_request(location: str, url: str) -> None:
    assert str(next_url(first_url("http", "h", 1, "/a/b?c"), location)) == url


@pytest.mark.parametrize(
    "location", ["http://h:x/", "http://h:70000/", "/%zz", "http://[::1/", "http://[::1]x/", "\x00"]
)
def test_a_location_that_cannot_be_read_is_the_targets_fault(location: str) -> None:
    with pytest.raises(Fault) as raised:
        next_url(first_url("http", "h", 1, "/"), location)
    assert raised.value.reason == "redirect"


@given(st.text())
def test_no_path_gets_a_line_end_or_a_blank_into_the_request_line(path: str) -> None:
    target = first_url("http", "h", 1, path).target
    assert target.startswith("/")
    assert target.isascii()
    assert not any(character <= " " or character == "\x7f" for character in target)


@given(st.binary())
def test_any_location_is_resolved_or_refused(location: bytes) -> None:
    try:
        url = next_url(first_url("http", "h", 1, "/"), location.decode("utf-8", "surrogateescape"))
    except Fault:
        return
    assert url.target.startswith("/")
    assert not any(character <= " " for character in url.target)
