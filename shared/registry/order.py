"""Carrying out an order on the pointers: decide, compare and set, and begin again or refuse."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from shared.errors import RegistryError, TransientError
from shared.registry.ledger import Ledger
from shared.registry.records import Action, HistoryEntry, Pointers, VersionInfo

_ATTEMPTS: Final = 100
_TOLD: Final = 3
"""How many of the changes that came first a refusal quotes."""


@dataclass(frozen=True)
class Proposal:
    """What a command would do to the pointers as it found them."""

    action: Action
    from_version: str | None
    to_version: str | None
    fields: dict[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    version: VersionInfo | None = None
    percent: float | None = None


Decide = Callable[[Pointers], Awaitable[Proposal | HistoryEntry]]
"""Return what to do to the pointers, or the change that has done it already."""


@dataclass(frozen=True)
class Order:
    """Who wants what, and under which condition."""

    model: str
    action: Action
    who: str
    why: str
    request_id: str | None = None
    expect_revision: int | None = None
    to_version: str | None = None
    from_version: str | None = None
    guards_champion: bool = False
    percent: float | None = None


async def carry_out(ledger: Ledger, order: Order, decide: Decide) -> HistoryEntry:
    """Decide and write until no other change comes in between, or the ground has shifted.

    Raises
    ------
    RegistryError
        Somebody else changed what the order was based on, or used its request id for another change.
    TransientError
        Redis is away; where the outcome is unknown the message names the request id to repeat.
    """
    request_id = order.request_id or uuid.uuid4().hex
    first: Pointers | None = None
    for _ in range(_ATTEMPTS):
        now = (await ledger.pointers([order.model]))[0]
        # After the pointers: else a late first copy of the request could slip in between, and its
        # repetition would be refused over the change that the request itself made.
        done = await ledger.request(order.model, request_id)
        if done is not None:
            return _answer(order, done)
        first = first or now
        await _check_ground(ledger, order, first, now)
        proposal = await decide(now)
        if isinstance(proposal, HistoryEntry):
            return proposal
        written = await _write(ledger, order, proposal, now.revision + 1, request_id)
        if written is not None:
            return _answer(order, written)
    raise TransientError(f"{order.model} changes too often for {order.action}; try again")


async def _write(
    ledger: Ledger, order: Order, proposal: Proposal, revision: int, request_id: str
) -> HistoryEntry | None:
    entry = HistoryEntry(
        model=order.model,
        revision=revision,
        at=now_ms(),
        who=order.who,
        why=order.why,
        action=proposal.action,
        from_version=proposal.from_version,
        to_version=proposal.to_version,
        request_id=request_id,
        percent=proposal.percent,
    )
    try:
        return await ledger.write(
            entry, fields=proposal.fields, remove=proposal.remove, version=proposal.version
        )
    except TransientError as error:
        raise TransientError(
            f"{error}; whether {order.model} was changed is unknown, so repeat it with the request id "
            f"{request_id}, and it will have happened once"
        ) from error


async def _check_ground(ledger: Ledger, order: Order, first: Pointers, now: Pointers) -> None:
    """Refuse when the model is not as whoever gave the order believes it to be."""
    if order.expect_revision is not None and now.revision != order.expect_revision:
        since, expected = order.expect_revision, f"at revision {order.expect_revision}"
    elif order.guards_champion and now.champion != first.champion:
        since, expected = first.revision, f"with champion {first.champion or 'none'}"
    else:
        return
    changes = await ledger.history(order.model, after=since, limit=_TOLD)
    raise RegistryError(
        f"{order.action} expected {order.model} {expected}, but it is at revision {now.revision} with "
        f"champion {now.champion or 'none'}. Newest first: " + "; ".join(str(change) for change in changes)
    )


def _answer(order: Order, done: HistoryEntry) -> HistoryEntry:
    """Return what the request did, unless it was another request under the same id."""
    asked = (
        order.action,
        order.to_version or done.to_version,
        order.from_version or done.from_version,
        order.percent,
    )
    if (done.action, done.to_version, done.from_version, done.percent) != asked:
        raise RegistryError(
            f"request id {done.request_id!r} was used before, for another change of {done.model}: {done}"
        )
    return done


def now_ms() -> int:
    """Return the present moment in epoch milliseconds."""
    return time.time_ns() // 1_000_000
