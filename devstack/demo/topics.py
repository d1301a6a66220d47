"""The topics of the demo: Driftline's own, small."""

from __future__ import annotations

from typing import Final

from shared.topics import TopicNames

NAMES: Final = TopicNames()
PARTITIONS: Final = 4
