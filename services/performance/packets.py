"""What the performance log holds: packets of answers, labels and outcomes, in one order per event.

A packet is what one micro-batch of one input partition holds for one partition of the log: hundreds of
items in one Kafka record, since a record costs more than an item does.
"""

from __future__ import annotations

import zlib

import msgspec

from shared.messages import FeatureValue


class Answered(msgspec.Struct, array_like=True, gc=False):
    """A prediction, in the few fields that the join needs."""

    event_id: str
    model: str
    version: str
    score: float
    occurred_at: int
    scored_at: int
    topic: str
    partition: int
    offset: int
    label: str | None = None
    probabilities: dict[str, float] | None = None
    segments: dict[str, str] | None = None
    entity_id: str | None = None
    shadow: bool = False
    canary: bool = False
    basis: int = 0


class Known(msgspec.Struct, array_like=True, gc=False):
    """A label: the truth as it was sent, a class or a number."""

    event_id: str
    truth: str | bool | float
    observed_at: int


class Followed(msgspec.Struct, array_like=True, gc=False):
    """An outcome of an event, or of an entity until its event is found."""

    event_id: str
    kpi: str
    value: float
    observed_at: int


class Touched(msgspec.Struct, array_like=True, gc=False):
    """An answer about an entity, sent to the entity's partition so that outcomes find the event."""

    entity_id: str
    event_id: str
    model: str
    version: str
    occurred_at: int


class Matured(msgspec.Struct, array_like=True, gc=False):
    """Labels of one version whose horizon has passed: for concept drift, in one stream per model.

    ``cells`` holds a byte per label: twice the bin of the score, plus one where it was positive; of a
    regression what :meth:`shared.drift.residual_baseline.ResidualBaseline.code` says.
    """

    model: str
    version: str
    occurred_at: int
    cells: bytes


class Packet(msgspec.Struct, array_like=True, gc=False):
    """What one input partition says, in order.

    Attributes
    ----------
    source
        Topic and partition that it comes from, as ``topic/partition``.
    high
        Latest event time that the source has come to; -1 before its first record.
    idle
        Whether the source has nothing more for now: nobody waits for it then.
    """

    source: str
    high: int
    idle: bool = False
    answers: list[Answered] = []
    labels: list[Known] = []
    outcomes: list[Followed] = []
    touches: list[Touched] = []
    entity_outcomes: list[Followed] = []
    matured: list[Matured] = []

    def versions(self) -> set[tuple[str, str]]:
        """Return model and version of everything that must be judged."""
        met: set[tuple[str, str]] = set()
        model = version = ""
        for items in (self.answers, self.touches, self.matured):
            for item in items:
                if item.version != version or item.model != model:  # mostly those of the item before
                    model, version = item.model, item.version
                    met.add((model, version))
        return met


encode_packet = msgspec.msgpack.Encoder().encode
decode_packet = msgspec.msgpack.Decoder(Packet).decode


def partition_of(name: str, partitions: int) -> int:
    """Return the log's partition of an event or entity: one for all that is known about it.

    Nobody outside the service relies on it, so it need not be Kafka's own hash, which costs ten
    microseconds in Python; and labels may be produced with any partitioner.

    Examples
    --------
    >>> partition_of("UA1545-2013-01-01", 12)
    9
    """
    return zlib.crc32(name.encode()) % partitions


def as_text(truth: FeatureValue) -> str:
    """Return a label as text, whole numbers without their point."""
    if isinstance(truth, bool):
        return "1" if truth else "0"
    if isinstance(truth, float) and truth.is_integer():
        return str(int(truth))
    return str(truth)
