"""How the suite is divided among the workers of pytest-xdist.

A file stays together, because its fixtures are made once per worker, and files go out in the order in which
they are collected: the long ones are at the front, the short ones fill up the end. Each worker has a
Kafka and a Redis of its own.
"""

from __future__ import annotations

from typing import Any, Final

from xdist.scheduler import LoadScopeScheduling

ONE_AFTER_THE_OTHER: Final = {
    "tests/deploy/test_compose_topology.py": "the whole of Driftline",
    "tests/deploy/test_rolling_update.py": "the whole of Driftline",
    "tests/e2e/test_demo.py": "the whole of Driftline",
    "tests/faults/test_sample.py": "the whole of Driftline",
    "tests/integration/monitoring/test_dashboards.py": "the whole of Driftline",
    "tests/unit/devstack/demo/test_events.py": "the demo's model",
    "tests/unit/devstack/demo/test_model.py": "the demo's model",
    "tests/unit/devstack/demo/test_train.py": "the demo's model",
}
"""Files that go to one worker together: two whole Driftlines at once are too much for a small machine, and
the demo's model is trained once per worker that needs it."""


class ByFile(LoadScopeScheduling):
    """Hands out whole files, some of them together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return ONE_AFTER_THE_OTHER.get(file, file)


def printable(value: Any) -> Any:
    """Return a report as it can be sent to the controller.

    Text that UTF-8 cannot hold (half a surrogate pair) is escaped: the worker would die of it.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: printable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(printable, value))
    return value
