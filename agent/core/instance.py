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
    """The kubelet's requests of /startupz/NAME: when the last came, the shortest interval, and whether it was told 200.

    ``told`` belongs to the instance; times are seconds on the engine's clock.
    """

    last: float | None = None
    shortest: float | None = None
    told: bool = False


def asked(asks: Asks, now: float, *, started_for: float | None, held: bool) -> tuple[Asks, bool]:
    """One more request: the next state, and whether it shows that the kubelet runs another instance.

    The kubelet asks until it is told 200 once, and then never again for that instance. So it shows another one

    - in a liveness hold (``held``), when it asks after two of its periods without asking;
    - while the agent believes the container started (``started_for`` seconds ago, else None), when it has been told so
      already; or, where the agent does not remember telling it, when the container has been started for two periods
      in which nobody asked.
    """
    gap = None if asks.last is None else now - asks.last
    shortest = asks.shortest if gap is None else min(gap, asks.shortest or gap)
    quiet = 2 * (asks.shortest or KUBELET_PERIOD)
    long_silent = gap is None or gap >= quiet
    if held:
        another = long_silent
    elif started_for is None:
        another = False
    else:
        another = asks.told or (long_silent and started_for >= quiet)
    return Asks(now, shortest, told=started_for is not None and not another and not held), another
