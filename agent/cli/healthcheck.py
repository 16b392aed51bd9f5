"""`healthcheck`: asks a running agent and exits 0 or 1; small enough to be run every few seconds."""

import sys
from collections.abc import Sequence

from agent.cli.client import CannotAskError, agent_url, get, parse, path_of

TIMEOUT = 3.0  # seconds, for everything; Docker's own default is 30

HELP = """\
usage: health-agent healthcheck [--live | --ready | --started] [--container NAME] [--url URL]

Asks a running agent. Exit status 0: yes; 1: no, no answer within 3 s, or wrong usage. One line says why.
It needs no configuration file and loads nothing, so that Docker can run it every few seconds.

options:
  -h, --help        show this and exit
  --live            is no restart wanted? (/healthz)
  --ready           is every container ready? (/ready)
  --started         has every container started? (/startupz)
                    without any of these: is the agent itself well, whatever its targets do? (/-/healthy)
  --container NAME  of this container alone
  --url URL         the agent's address; default http://127.0.0.1:${HEALTH_AGENT_SERVER__PORT:-9809};
                    a path in it stands before the ones above, or is asked itself where none is chosen

examples:
  HEALTHCHECK CMD ["health-agent", "healthcheck"]
  health-agent healthcheck --ready --container model
  health-agent healthcheck --live --url http://10.0.0.7:9900"""

ENDPOINTS = {"--live": "/healthz", "--ready": "/ready", "--started": "/startupz"}


class UsageError(Exception):
    """The words of the command line make no question."""


def understand(words: Sequence[str]) -> tuple[str, str, str]:
    """Endpoint, container and URL; "" where not given. Raises UsageError."""
    values = {"--container": "", "--url": ""}
    endpoint = ""
    rest = list(words)
    while rest:
        word, equals, value = rest.pop(0).partition("=")
        if word in ENDPOINTS and not equals:
            if endpoint and endpoint != ENDPOINTS[word]:
                raise UsageError("only one of --live, --ready and --started")
            endpoint = ENDPOINTS[word]
        elif word in values:
            if not equals and not rest:
                raise UsageError(f"{word} needs a value")
            values[word] = value if equals else rest.pop(0)
        else:
            raise UsageError(f"{word!r} is no option of it; see health-agent healthcheck --help")
    container = values["--container"]
    if container and not endpoint:
        raise UsageError("--container needs --live, --ready or --started")
    return endpoint, container, values["--url"]


def main(words: Sequence[str]) -> int:
    """Run the command. By hand to the end, because importing argparse takes longer than asking."""
    if "-h" in words or "--help" in words:
        print(HELP)
        return 0
    try:
        endpoint, container, url = understand(words)
        address = parse(agent_url(url))
        path = path_of(address.path, endpoint, container)
        status, body = get(address, path, TIMEOUT)
    except (UsageError, CannotAskError) as trouble:
        return _no(str(trouble))
    except KeyboardInterrupt:
        return _no("interrupted")
    if 200 <= status < 300:
        print("ok")
        return 0
    failing = "; ".join(line for line in body.splitlines() if line.startswith("[-]"))
    if status == 404 and container:
        return _no(f"the agent on {address} has no container {container!r}")
    return _no(f"{path} answers {status}{f': {failing}' if failing else ''}")


def _no(why: str) -> int:
    print(f"health-agent healthcheck: {why}", file=sys.stderr)
    return 1
