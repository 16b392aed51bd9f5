"""The signs of a new instance that must be judged over time: the connection edge and the kubelet's questions."""

import msgspec

KUBELET_PERIOD = 10.0  # seconds between two startup probes where fewer than two were seen


class Edge(msgspec.Struct, frozen=True, gc=False):
    """What connecting to the liveness port has shown: two refusals in a row, then accepted, is a new instance."""

    refusals: int = 0


def refused(edge: Edge) -> Edge:
    return Edge(edge.refusals + 1)


def accepted(edge: Edge) -> tuple[Edge, bool]:
    """The next state, and whether this was the edge."""
    return Edge(), edge.refusals >= 2


class Asks(msgspec.Struct, frozen=True):
    """The kubelet's requests of /startupz/NAME, times in seconds on the engine's clock.

    ``last`` and ``shortest`` (the shortest interval) are of the agent's life. Of the current instance are ``told``: it
    was answered 200, and ``asking``: it has asked and is still to be told.
    """

    last: float | None = None
    shortest: float | None = None
    told: bool = False
    asking: bool = False


def asked(asks: Asks, now: float, *, started_for: float | None, held: bool) -> tuple[Asks, bool]:
    """One more request: the next state, and whether it shows that the kubelet runs another instance.

    The kubelet asks until it is told 200 once, and then never again for that instance. So it shows another one

    - when it has been told 200 for this instance already;
    - in a liveness hold (``held``), when it asks after two of its periods without asking;
    - while the agent believes the container started (``started_for`` seconds ago, else None), when it has not asked
      about this instance before: for the first time in the agent's life, or with the start two periods ago.

    Whoever is answered 503 for that is asking: its next question is answered 200 as soon as the container started.
    """
    gap = None if asks.last is None else now - asks.last
    shortest = asks.shortest if gap is None else min(gap, asks.shortest or gap)
    quiet = 2 * (asks.shortest or KUBELET_PERIOD)
    if held:
        another = asks.told or gap is None or gap >= quiet
    elif started_for is None or asks.asking:
        another = False
    else:
        another = asks.told or gap is None or started_for >= quiet
    told = started_for is not None and not another and not held
    return Asks(now, shortest, told=told, asking=not told), another


def of_new_instance(asks: Asks, *, asking: bool) -> Asks:
    """A new instance was seen; ``asking``: by the kubelet's question, which is about it."""
    return Asks(asks.last, asks.shortest, told=False, asking=asking)
