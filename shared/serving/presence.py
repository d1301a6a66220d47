"""Whether every model that a service was asked for has its champion, and the wait until it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence


class Presence:
    """Tells readiness which champions are missing, and why.

    Parameters
    ----------
    names
        The models asked for; empty means any that has a champion.
    present
        Returns the models that have their champion now.
    trouble
        Returns why a model is not at the version the registry wants, by model.

    Examples
    --------
    >>> loaded = []
    >>> presence = Presence(["flights"], lambda: loaded, lambda: {"flights": "version 2: it is damaged"})
    >>> presence.missing()
    'no champion loaded yet for flights (version 2: it is damaged)'
    >>> loaded.append("flights")
    >>> presence.missing() is None
    True
    """

    def __init__(
        self,
        names: Sequence[str],
        present: Callable[[], Collection[str]],
        trouble: Callable[[], Mapping[str, str]],
    ) -> None:
        self._names = tuple(names)
        self._present = present
        self._trouble = trouble
        self._grew = asyncio.Event()

    def grew(self) -> None:
        """Say that a model has its champion now."""
        self._grew.set()

    async def complete(self) -> None:
        """Return once every named model has its champion, or any where none is named."""
        while self.missing() is not None:
            self._grew.clear()
            await self._grew.wait()

    def missing(self) -> str | None:
        """Return which models have no champion yet, as a sentence; ``None`` when all have."""
        present, trouble = self._present(), self._trouble()
        absent = [name for name in self._names if name not in present]
        if absent:
            return f"no champion loaded yet for {', '.join(absent)}" + _because(trouble, absent)
        return None if present else "no model has a champion in the registry" + _because(trouble, trouble)


def _because(trouble: Mapping[str, str], names: Collection[str]) -> str:
    reasons = [trouble[name] for name in names if name in trouble]
    return f" ({'; '.join(reasons)})" if reasons else ""
