"""What a real API server accepts of probes is accepted, and what it refuses is refused, in the same places."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.record_api_verdicts import pod
from config.support import problems

SERVER, *CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "api-verdicts.jsonl").read_text(encoding="utf-8").splitlines()
]
UNKNOWN_PORT = "no port is named 'a'"  # the kubelet finds out; here it is an error (contract 1.4)


def told(kind: str, probe: Any) -> list[str]:
    """What is wrong with the probe; that a container without one is nothing to look after is another matter."""
    found = problems(json.dumps(pod(kind, probe)))
    return [line.partition(": ")[2] for line in found if "no container has" not in line and UNKNOWN_PORT not in line]


def test_there_are_enough_verdicts_of_both_sorts() -> None:
    accepted = [case for case in CASES if case[2] == 201]
    assert SERVER.startswith("v1.")
    assert len(accepted) > 200
    assert len([case for case in CASES if case[2] == 422]) > 100, "refused by validation, with the fields"


@pytest.mark.parametrize("block", range(0, len(CASES), 100))
def test_the_api_servers_verdict_is_ours(block: int) -> None:
    for kind, probe, status, *fields in CASES[block : block + 100]:
        found = told(kind, probe)
        assert bool(found) is (status != 201), f"{kind} {json.dumps(probe)}: {status} {fields}, but here {found}"
        places = [line.partition(": ")[0] for line in found]
        for field in fields:
            assert any(place.startswith(field) for place in places), f"{kind} {json.dumps(probe)}: {field}, {found}"
        for place in places if fields else ():
            assert any(place.startswith(field) for field in fields), f"{kind} {json.dumps(probe)}: {fields}, {found}"
