"""Records what the NVML process says on a machine with a GPU, an illegal write included: `python -m ... FILE`.

The file is a transcript for tests without a GPU: a line of JSON for each line that it said, with the seconds since its
start. data/nvml-h100.jsonl is one.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from agent.runtimes.nvml import CHILD
from tests.runtimes.test_real_gpu import ILLEGAL_WRITE

LOOKS = 3


def main(file: Path) -> None:
    begun = time.monotonic()
    with (
        file.open("w", encoding="utf-8") as transcript,
        subprocess.Popen([sys.executable, "-I", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        for number in range(LOOKS):
            child.stdin.write(f"{number}\n".encode())
        child.stdin.flush()
        for told in range(LOOKS + 2):  # the greeting, the looks, and at least one event
            line = json.loads(child.stdout.readline())
            transcript.write(json.dumps({"at": round(time.monotonic() - begun, 3), "said": line}) + "\n")
            if told == LOOKS:
                subprocess.run([sys.executable, ILLEGAL_WRITE], check=True, timeout=120)
        child.stdin.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
