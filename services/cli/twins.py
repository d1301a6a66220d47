"""Letters of one and the same refused event: only one of them is sent again.

A service that delivers at least once and ends between a letter and the position behind it writes the
letter again when it comes back. Two services may refuse the same event, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from services.cli.letters import Letter


class Twins:
    """The letters of one partition, told apart by the event that they are of.

    Examples
    --------
    >>> from shared.dead_letters import DeadLetter
    >>> reason = DeadLetter("DecodeError", "no JSON", None, "inference", "events", 0, 7, 0)
    >>> twins = Twins()
    >>> for offset in (3, 5):
    ...     twins.add(Letter("dead-letters", 0, offset, 0, None, b"{", [], reason))
    >>> twins.first(5), twins.first(4), twins.of(5)
    (3, 4, [3, 5])
    """

    def __init__(self) -> None:
        self._firsts: dict[bytes, int] = {}
        self._first_of: dict[int, int] = {}
        self._later: dict[int, list[int]] = {}

    def add(self, letter: Letter) -> None:
        """Note a letter; in the order of their offsets."""
        if letter.reason is None or letter.reason.offset < 0:
            return  # nobody knows of which record, or of none: a notification that was given up
        first = self._firsts.setdefault(_identity(letter), letter.offset)
        if first != letter.offset:
            self._first_of[letter.offset] = first
            self._later.setdefault(first, []).append(letter.offset)

    def first(self, offset: int) -> int:
        """Return the offset of the first letter of the same event."""
        return self._first_of.get(offset, offset)

    def firsts(self, offsets: Iterable[int]) -> set[int]:
        """Return the first letters of the events that these letters are of."""
        return {self.first(offset) for offset in offsets}

    def of(self, offset: int) -> list[int]:
        """Return the offsets of every letter of the same event, this one's among them."""
        first = self.first(offset)
        return [first, *self._later.get(first, ())]


def _identity(letter: Letter) -> bytes:
    """Return what two letters of one event have in common; a topic made anew has other values."""
    assert letter.reason is not None
    digest = hashlib.blake2b(letter.value or b"", digest_size=16)
    source = f"{letter.reason.topic}/{letter.reason.partition}/{letter.reason.offset}/{letter.value is None}"
    digest.update(b"\0" + source.encode())
    return digest.digest()
