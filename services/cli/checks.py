"""What a check of ``driftline doctor`` says, and how a check that goes wrong says it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

import msgspec

from shared.errors import ConfigError, ServiceError
from shared.logs import redact

Status = Literal["ok", "failed", "unknown"]

DEADLINE: Final = 40.0
"""Seconds that one check may take."""


class Check(msgspec.Struct, frozen=True):
    """The outcome of one check.

    Attributes
    ----------
    name
        What was looked at.
    status
        ``unknown`` where it could not be looked at: another check failed, or the broker does not
        tell. It is no failure.
    found
        What was seen.
    todo
        What to do about it, with the exact command; empty where there is nothing to do.
    """

    name: str
    status: Status
    found: str
    todo: str = ""


def ok(name: str, found: str) -> Check:
    """Return a check that is as it should be."""
    return Check(name, "ok", found)


def failed(name: str, found: str, todo: str) -> Check:
    """Return a check that is not as it should be, and what to do."""
    return Check(name, "failed", found, todo)


def unknown(name: str, found: str, todo: str = "") -> Check:
    """Return a check that could not be made."""
    return Check(name, "unknown", found, todo)


async def attempt(name: str, todo: str, look: Callable[[], Awaitable[Sequence[Check]]]) -> Sequence[Check]:
    """Return what ``look`` finds; an error in it is a failed check called ``name``, not the end."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await look()
    except TimeoutError:
        return [failed(name, f"no answer in {DEADLINE:.0f} s", todo)]
    except ConfigError as error:
        return [failed(name, redact("; ".join(error.problems)), todo)]
    except ServiceError as error:
        return [failed(name, redact(str(error)), todo)]
