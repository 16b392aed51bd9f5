"""What a real H100 (driver 580) told while another process made an illegal write, recorded by record_nvml.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.core.gpu import Event, Reading, actions, corroborated, judge, remember
from agent.runtimes.nvml import CHILD
from tests.runtimes.nvml_stand_in import Driver, built

TRANSCRIPT = Path(__file__).with_name("data") / "nvml-h100.jsonl"
LINES = [json.loads(line) for line in TRANSCRIPT.read_text(encoding="utf-8").splitlines()]
GREETING, *LOOKS, XID = (line["said"] for line in LINES)


def readings(look: dict[str, Any]) -> list[Reading]:
    return [msgspec.convert(one, Reading) for one in look["gpus"]]


def test_every_value_that_the_rules_ask_for_was_told() -> None:
    (one,) = readings(LOOKS[0])
    told = {field: getattr(one, field) for field in one.__struct_fields__ if field not in {"gpu", "error"}}
    assert None not in told.values()
    assert one.error is None
    assert one.gpu == GREETING["gpus"][0][0] == XID["gpu"]


def test_the_illegal_write_is_the_process_s_own_doing_and_calls_for_no_reset() -> None:
    at = LINES[-1]["at"]
    event = Event(0, XID["gpu"], XID["xid"], at)
    memory = remember(None, readings(LOOKS[0]), [], LINES[1]["at"])
    assert judge(memory, readings(LOOKS[0]), [], at) == []
    (finding,) = judge(memory, readings(LOOKS[-1]), [event], at)
    assert (finding.kind, finding.text, actions([finding])) == ("process", "XID 31", {})
    assert not corroborated(finding, [])
    assert corroborated(finding, [at + 59])


def test_the_stand_in_tells_what_the_real_one_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line but for names: what the tests against the stand-in show holds for a real driver."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(built(tmp_path).parent))
    monkeypatch.setenv("NVML_STAND_IN", str(tmp_path))
    driver = Driver(tmp_path)
    driver.set(gpu0_clocks=0)
    told = []
    with subprocess.Popen([sys.executable, "-I", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        told.append(child.stdout.readline())
        child.stdin.write(b"".join(b"%d\n" % look["look"] for look in LOOKS))
        child.stdin.flush()
        told += [child.stdout.readline() for _ in LOOKS]
        driver.xid(XID["xid"])
        told.append(child.stdout.readline())
        child.stdin.close()
    uuid, bus = GREETING["gpus"][0]
    named = [line.decode().replace("GPU-00000000", uuid).replace("00000000:3B:00.0", bus) for line in told]
    assert [json.loads(line) for line in named] == [GREETING, *LOOKS, XID]
