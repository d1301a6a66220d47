"""What a partition has to say since it was last asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from services.performance.cells import WindowCells
from services.performance.facts import Version
from services.performance.packets import Followed, Matured, Packet
from services.performance.telling import encode_labelled
from shared.messages import Labelled

MaturedLabels = dict[Version, list[tuple[str, int, int]]]
"""By version: event id, time and cell of each label whose horizon has passed."""


_ANSWERS: Final = b',"answers":'
"""Never within a value: a quotation mark is escaped there."""

_MATURED: Final = b',"matured":true'
_REPLACES: Final = b',"replaces":'


@dataclass(slots=True)
class Said:
    """What there is to say since it was last taken.

    Attributes
    ----------
    labelled
        Labels beside their answers, as event id and message: encoded at once, since a micro-batch says
        thousands of them.
    final
        Windows that are final.
    matured
        Labels whose horizon has passed, for concept drift.
    outcomes
        Outcomes of entities whose event has been found: for the partition of that event.
    orphans
        Labels and outcomes that waited for an answer until nobody could give it in time; a running total.
    """

    labelled: list[tuple[bytes, bytes]] = field(default_factory=list)
    final: list[WindowCells] = field(default_factory=list)
    matured: MaturedLabels = field(default_factory=dict)
    outcomes: list[Followed] = field(default_factory=list)
    orphans: int = 0

    def tell(self, labelled: Labelled) -> None:
        """Say a label beside its answers."""
        self.labelled.append((labelled.event_id.encode(), encode_labelled(labelled)))

    def tell_matured(self, labelled: Labelled) -> None:
        """Say that a label has held to the end of its horizon, in place of what was said when it came.

        The message holds the former one in itself: written once, its bytes are taken twice.
        """
        former = encode_labelled(labelled)
        head, answers, tail = former.partition(_ANSWERS)
        told = b"".join((head, _MATURED, answers, tail[:-1], _REPLACES, former, b"}"))
        self.labelled.append((labelled.event_id.encode(), told))

    def take(self) -> Said:
        """Return what there is, and begin anew; the total of orphans goes on."""
        taken = Said(self.labelled, self.final, self.matured, self.outcomes, self.orphans)
        self.labelled, self.final, self.matured, self.outcomes = [], [], {}, []
        return taken


def matured_packets(
    source: str, matured: Mapping[Version, list[tuple[str, int, int]]]
) -> list[tuple[str, Packet]]:
    """Return a packet per model with the labels that have matured, in the order they were due."""
    packets: dict[str, Packet] = {}
    for (model, version), rows in sorted(matured.items()):
        packet = packets.setdefault(model, Packet(source, -1, matured=[]))
        latest = max(occurred_at for _, occurred_at, _ in rows)
        packet.matured.append(Matured(model, version, latest, bytes(cell for _, _, cell in rows)))
    return list(packets.items())
