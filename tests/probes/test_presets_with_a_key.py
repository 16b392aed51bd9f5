"""The documented way to give a preset's checks the key of a server that wants one, on a real server that does."""

import re
from pathlib import Path

import pytest

from agent.config import SourceRef, load
from agent.core.model import Target
from agent.core.settings import Container
from tests.config.presets_page import PAGE

from .support import Request, answering, attempt, says

MODELS, ANSWER = b'{"data": [{"id": "m"}]}', b'{"choices": [{"text": "x"}]}'


def documented(key_file: Path) -> Container:
    """The block of docs/presets.md, with the key in ``key_file``."""
    text = re.search(r"## A server with an API key.*?```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert text
    assert text[1].count("/run/secrets/model-key") == 2
    document = text[1].replace("/run/secrets/model-key", str(key_file)).encode()
    (found,) = load([SourceRef("config.yaml", content=document)], {}).config.containers
    return found


def wants_the_key(request: Request) -> bytes:
    """vLLM with --api-key: what is below /v1 is covered."""
    if request.target.startswith("/v1") and request.header("Authorization") != "Bearer hunter22":
        return says(401)
    return says(body=MODELS if request.target == "/v1/models" else ANSWER)


@pytest.mark.parametrize(("held", "outcome"), [("Bearer hunter22\n", "success"), ("Bearer other\n", "failure")])
async def test_models_and_canary_are_answered_with_the_key_alone(tmp_path: Path, held: str, outcome: str) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(held)
    container = documented(key_file)
    async with answering(wants_the_key) as server:
        for check in container.readiness:
            target = Target("model", "127.0.0.1", server.port, check=f"readiness/{check.name}")
            result = await attempt(check.options, target)
            assert (check.name, result.outcome) == (check.name, outcome)
            assert "hunter22" not in f"{result} {check}"


async def test_no_other_check_bears_the_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("Bearer hunter22")
    container = documented(tmp_path / "key")
    seen: list[str] = []

    def noting(request: Request) -> bytes:
        seen.append(request.header("Authorization") or "")
        return says(body=b"vllm:num_requests_running 0\nvllm:iteration_tokens_total_count 1\n")

    async with answering(noting) as server:
        for check in (*container.startup, *container.liveness):
            await attempt(check.options, Target("model", "127.0.0.1", server.port, check=check.name))
    assert seen == [""] * 3
