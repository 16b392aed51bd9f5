"""What a running agent tells of its containers under /status; for `status` and `report`."""

import json
from typing import Any

from agent.cli.client import Address, CannotAskError, get


def told(address: Address, seconds: float, query: str = "") -> dict[str, Any]:
    """The answer, within ``seconds``; its ``containers`` are a list. Raises CannotAskError."""
    status, body = get(address, f"{address.path}/status{query}", seconds)
    try:
        said: Any = json.loads(body)
    except ValueError:
        said = None
    if status != 200 or not isinstance(said, dict) or not isinstance(said.get("containers"), list):
        raise CannotAskError(f"{address} does not answer as the agent does (status {status}); is it the agent's port?")
    return said
