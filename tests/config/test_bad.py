"""One file a mistake, with the exact lines that it must cause: comments at its top, or the .txt beside a JSON file."""

from pathlib import Path

import pytest

from agent.config import ConfigError, SourceRef, load

BAD = Path(__file__).parent / "bad"
FILES = sorted(path for path in BAD.iterdir() if path.suffix != ".txt")


def expected(path: Path) -> list[str]:
    if path.suffix == ".json":
        lines = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    else:
        text = path.read_text(encoding="utf-8")
        lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    return [f"{path.name}:{line}" for line in lines]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_mistake_is_told_with_its_place_and_its_remedy(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load([SourceRef(path.name, str(path))], {})
    assert [str(problem) for problem in caught.value.problems] == expected(path)
