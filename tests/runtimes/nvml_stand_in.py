"""A stand-in for NVIDIA's library: a real shared library with its functions, which does what a test's script says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml_stand_in.c")
NO_COMPILER = "no C compiler to build the stand-in for NVML with: apt-get install gcc"


def built(folder: Path) -> Path:
    """The library, compiled into ``folder``; fails where CI lacks a compiler, skips elsewhere."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        if os.environ.get("CI") == "true":
            pytest.fail(NO_COMPILER)
        pytest.skip(NO_COMPILER)
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE], check=True, timeout=60)
    return library


class Driver:
    """What the stand-in does from now on; its keys are those of nvml_stand_in.c."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._values: dict[str, int] = {}
        (folder / "xids").touch()
        self.set()

    def set(self, **values: int) -> None:
        """``gpu0_recovery=1`` and the like, until they are set anew."""
        self._values |= {key.replace("_", ".", 1) if key.startswith("gpu") else key: v for key, v in values.items()}
        text = "".join(f"{key} {value}\n" for key, value in self._values.items())
        (self.folder / "script.new").write_text(text)
        (self.folder / "script.new").rename(self.folder / "script")

    def xid(self, number: int, gpu: int = 0) -> None:
        with (self.folder / "xids").open("a") as xids:
            xids.write(f"{gpu} {number}\n")
