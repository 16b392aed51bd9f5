"""A canary's safety rules: when one real request may be sent, and what its silence means (pure)."""

from typing import Final, Literal

from agent.core.remembered import Canary, Passive

OVERLOAD_FACTOR: Final = 4.0
"""A canary that nothing else speaks for gets so many times its time-out: 120 s at the default of 30."""

FRESH_SECONDS: Final = 30.0
"""What was scraped within so many seconds is knowledge, however short a quiet time was asked for."""

EARLY: Final = 0.05
"""Seconds by which a deadline may come before the canary has waited for all of it: it began before the sending."""

Hold = Literal["", "cooldown", "overload", "progress"]
"""Why none is sent now; "": one may be."""

Silence = Literal["hung", "timeout", "busy"]
"""What no answer means: ``timeout`` where the canary alone decides, ``busy`` where it says nothing of the server."""


def hold_back(
    canary: Canary | None,
    passive: Passive,
    now: float,
    *,
    quiet: float,
    cooldown: float,
    load: float | None = None,
    warm: bool = False,
) -> Hold:
    """Whether the next one has to wait, and what for.

    After one that was not answered in its time: until the work in flight has fallen below the ``load`` of that moment,
    or for ``cooldown`` seconds. Otherwise while work is done, or was ``quiet`` seconds ago, or queues, unless a hang is
    to be confirmed. With ``warm`` the instance's first good answer is asked for whatever work is done.
    """
    if canary is not None and canary.overdue is not None and canary.failed_at is not None:
        fallen = _has_fallen(passive, load, canary.failed_at)
        if now - canary.failed_at < cooldown and not fallen:
            return "cooldown"
    if passive.confirm or not tells(passive, now, quiet=quiet):
        return ""
    if passive.waiting > 0:
        return "overload"
    working = passive.risen_at is not None and now - passive.risen_at < quiet
    asked_anyway = warm and (canary is None or canary.answered_at is None)
    return "progress" if working and not asked_anyway else ""


def tells(passive: Passive, now: float, *, quiet: float) -> bool:
    """Whether the metrics tell busy from hung just now."""
    return passive.is_fresh(now, max(quiet, FRESH_SECONDS))


def _has_fallen(passive: Passive, load: float | None, since: float) -> bool:
    if load is None or passive.in_flight is None or passive.good_at is None:
        return False
    return passive.good_at > since and passive.in_flight < load


def silence(passive: Passive, *, sent_at: float, now: float, alone_after: float) -> Silence:
    """What it means that a canary sent at ``sent_at`` has no answer now.

    Hung where no work was done since then. Where no scrape tells, the canary alone decides, and not before
    ``alone_after`` seconds: late alone is not hung, it queues behind the users' requests. A server that loads is none
    of its business: liveness and readiness are asked once the startup checks have succeeded.
    """
    if passive.good_at is not None and passive.good_at > sent_at:
        return "busy" if passive.risen_at is not None and passive.risen_at > sent_at else "hung"
    return "timeout" if now - sent_at + EARLY >= alone_after else "busy"
