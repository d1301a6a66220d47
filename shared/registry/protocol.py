"""The question a registry answers, as protocols: which version is champion, which is candidate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import Protocol, Self

from shared.registry.records import Change, HistoryEntry, Pointers, VersionInfo


class RegistryReader(Protocol):
    """What a service needs: it reads pointers, fetches bundles and watches for changes."""

    @property
    def available(self) -> bool:
        """Whether the registry answered when it was last asked."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def models(self) -> tuple[str, ...]:
        """Return the names of all models, sorted."""
        ...

    async def versions(self, model: str) -> tuple[VersionInfo, ...]:
        """Return the registered versions of a model, oldest first."""
        ...

    async def pointers(self, model: str) -> Pointers:
        """Return champion and candidates; revision 0 where the model is unknown."""
        ...

    async def history(self, model: str, limit: int | None = None) -> tuple[HistoryEntry, ...]:
        """Return the changes of a model, newest first, at most ``limit``."""
        ...

    async def fetch(self, model: str, version: str) -> Path:
        """Return the local directory of a version's bundle, every byte of it verified.

        Raises
        ------
        RegistryError
            The version is not registered.
        BundleError
            The bundle is missing, half uploaded, damaged or not the one that was registered.
        TransientError
            Redis or the bundle store is away.
        """
        ...

    def watch(self, models: Collection[str] | None = None) -> AsyncIterator[Change]:
        """Iterate over changes for ever, beginning with the present state of each known model.

        A registry that is away or has lost its data never ends or raises out of the iteration: the
        caller keeps the model it has. None watches every model.
        """
        ...


class Registry(RegistryReader, Protocol):
    """A registry that can be changed. Every change is a compare-and-set on the model's revision.

    ``request_id`` makes a change safe to repeat: however often it is sent, it happens at most
    once, and the answer is the change that it made. ``expect_revision`` refuses the change when
    the model's revision is another one by now.
    """

    async def register(
        self, bundle_path: Path, *, who: str, why: str, request_id: str | None = None
    ) -> VersionInfo:
        """Upload a bundle and record it; the champion stays as it is.

        Raises
        ------
        RegistryError
            The version is there already with other contents.
        BundleError
            The bundle is damaged.
        """
        ...

    async def promote(
        self,
        model: str,
        version: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
        keep_former: bool = False,
    ) -> HistoryEntry:
        """Make a version champion; returns the change that made it so.

        ``keep_former`` makes the former champion a candidate in the same change, so that it may be
        compared with the new one and take over again.

        Raises
        ------
        RegistryError
            The version is not registered, its bundle is missing or damaged, or somebody else
            changed the champion meanwhile; the message says what they did.
        TransientError
            Redis is away and the outcome unknown: repeat with the ``request_id`` in the message.
        """
        ...

    async def rollback(
        self,
        model: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Make the champion's predecessor champion again; repeated, it goes back further."""
        ...

    async def set_candidate(
        self,
        model: str,
        version: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Add a version to the candidates."""
        ...

    async def remove_candidate(
        self,
        model: str,
        version: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Take a version out of the candidates; a canary it was ends."""
        ...

    async def set_canary(
        self,
        model: str,
        version: str,
        *,
        percent: float,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Let a candidate answer a share of the traffic, in (0, 100]; a promotion or rollback ends it.

        Raises
        ------
        RegistryError
            The version is no candidate, the share is out of range, or the champion changed meanwhile.
        """
        ...

    async def remove_canary(
        self,
        model: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Give all of the traffic back to the champion; the version stays a candidate."""
        ...


def predecessor(entries: Sequence[HistoryEntry]) -> str | None:
    """Return the version that a rollback restores, given a history that is oldest first.

    Promotions are laid on a pile and a rollback takes the top one away, so that rolling back
    twice goes back two champions instead of swapping the last two for ever.

    Examples
    --------
    >>> def entry(revision, action, to):
    ...     return HistoryEntry(model="m", revision=revision, at=0, who="", why="", action=action,
    ...                         from_version=None, to_version=to, request_id=str(revision))
    >>> promoted = [entry(i, "promote", str(i)) for i in (1, 2, 3)]
    >>> predecessor(promoted), predecessor([*promoted, entry(4, "rollback", "2")])
    ('2', '1')
    >>> predecessor(promoted[:1]) is None
    True
    """
    pile: list[str | None] = []
    for entry in entries:
        if entry.action == "promote":
            pile.append(entry.to_version)
        elif entry.action == "rollback":
            pile.pop()
    return pile[-2] if len(pile) > 1 else None
