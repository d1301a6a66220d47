"""What a registry knows, as frozen structs: versions, pointers, history and changes."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Action = Literal[
    "register", "promote", "rollback", "set-candidate", "remove-candidate", "set-canary", "remove-canary"
]


Who = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Why = Annotated[str, msgspec.Meta(max_length=2000)]
RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class VersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One registered version of a model; it is never rewritten.

    Attributes
    ----------
    model, version
        Name and version in the bundle's ``model.toml``.
    digest
        Hexadecimal SHA-256 of the bundle's ``SHA256SUMS``, and so of all its bytes.
    task, features, size
        For people: the task, the number of features, the bundle's size in bytes.
    registered_at
        Epoch milliseconds.
    who, why
        Who registered it, and why.
    """

    model: str
    version: str
    digest: str
    task: str
    features: int
    size: int
    registered_at: int
    who: str
    why: str


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change, as the append-only history keeps it.

    Attributes
    ----------
    model, revision
        The change made this revision of the model; revisions count up from 1 without a gap.
    at
        Epoch milliseconds.
    who, why
        Who changed it, and why.
    action
        ``register``, ``promote``, ``rollback``, ``set-candidate``, ``remove-candidate``, ``set-canary``
        or ``remove-canary``.
    from_version, to_version
        The pointer before and after (``from`` and ``to`` in JSON): the champion for ``promote``
        and ``rollback``, the canary for ``set-canary`` and ``remove-canary``, the candidate for the
        others; None where there is none.
    request_id
        Identity of the request: a request that is repeated is carried out once.
    percent
        Of ``set-canary``: the share of the traffic.
    """

    model: str
    revision: int
    at: int
    who: Who
    why: Why
    action: Action
    from_version: str | None = msgspec.field(name="from")
    to_version: str | None = msgspec.field(name="to")
    request_id: RequestId
    percent: float | None = None

    def __str__(self) -> str:
        """Return the change in one line for a person."""
        match self.action:
            case "register":
                what = f"registered {self.to_version}"
            case "promote":
                what = f"promoted {self.to_version}" + (
                    f" over {self.from_version}" if self.from_version else ""
                )
            case "rollback":
                what = f"rolled back from {self.from_version} to {self.to_version}"
            case "set-candidate":
                what = f"made {self.to_version} a candidate"
            case "remove-candidate":
                what = f"removed the candidate {self.from_version}"
            case "set-canary":
                what = f"let {self.to_version} answer {self.percent:g} % of the traffic"
            case "remove-canary":
                what = f"let {self.from_version} answer no traffic any more"
        line = f"revision {self.revision}: {what}, by {self.who}" + (f" ({self.why})" if self.why else "")
        return printable(line)


def printable(text: str) -> str:
    r"""Return text without control characters: what somebody wrote must not steer another's terminal.

    Examples
    --------
    >>> printable("why\x1b[2J\nnot")
    'why?[2J?not'
    """
    return "".join(character if character.isprintable() else "?" for character in text)


class CanaryShare(msgspec.Struct, frozen=True):
    """A candidate that answers a share of the traffic in the champion's place.

    Attributes
    ----------
    percent
        Share of the keys, in (0, 100].
    since
        Revision that set it.
    """

    version: str
    percent: float
    since: int = 0


class Pointers(msgspec.Struct, frozen=True, kw_only=True):
    """Which version of a model is champion and which are candidates.

    Attributes
    ----------
    model
        Name of the model.
    champion
        Version that serves, or None before the first promotion.
    candidates
        Versions that run in the shadow, the one set first in front.
    since
        Number of the change that made each of them a candidate.
    canary
        The candidate that answers a share of the traffic, or None.
    revision
        Number of the last change; 0 means that the registry does not know the model.
    champion_revision
        Number of the change that made the champion, 0 where there is none.
    last
        The last change.

    Examples
    --------
    >>> Pointers(model="flights").revision
    0
    """

    model: str
    champion: str | None = None
    candidates: tuple[str, ...] = ()
    since: dict[str, int] = msgspec.field(default_factory=dict)
    canary: CanaryShare | None = None
    revision: int = 0
    champion_revision: int = 0
    last: HistoryEntry | None = None

    def basis(self, candidate: str) -> int:
        """Return the revision at which a candidate's comparison with the champion began.

        It is the younger of the two changes that made them what they are: a candidate that is set again, and
        a champion that comes again, begin another comparison.

        Examples
        --------
        >>> Pointers(model="m", champion="1", since={"2": 5}, champion_revision=3).basis("2")
        5
        """
        return max(self.since.get(candidate, 0), self.champion_revision)


class Change(msgspec.Struct, frozen=True):
    """What :meth:`RegistryReader.watch` yields: the pointers before (None at first) and after.

    It describes a state, not a step: where several changes follow each other quickly, a watcher
    may see only the last.
    """

    model: str
    before: Pointers | None
    after: Pointers
