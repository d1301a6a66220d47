"""Rows in memory and on disk against a dict, over saves, restarts and ends; and what is left in the end."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from services.performance.disk import Disk
from services.performance.events import OpenEvent
from services.performance.index import hashes_of
from services.performance.packets import Followed, Known
from services.performance.rows import FULL, LABELLED, OPEN, brief_of, event_of, labelled_row, open_row, row_of
from services.performance.store import EventStore
from shared.errors import ServiceError
from tests.unit.services.performance.harness import HOUR, START, Harness, Log, answered, binary


def look_up(store: EventStore, names: list[str]) -> dict[str, bytes]:
    numbers = store.find(hashes_of(names))
    there = np.flatnonzero(numbers >= 0)
    return dict(zip([names[at] for at in there.tolist()], store.read(numbers[there]), strict=True))


def test_it_says_what_a_dict_says_whenever_it_is_saved_or_opened_again(tmp_path: Path) -> None:
    rng = random.Random(5)
    store, known, names = EventStore(tmp_path, "life"), dict[str, bytes](), [f"e{n}" for n in range(3_000)]
    due_of = {name: 1 + rng.randrange(40) for name in names}
    ended = 0
    for turn in range(60):
        some = [name for name in rng.sample(names, 150) if due_of[name] > ended]
        rows = [open_row(answered(name, rng.random(), START + turn), due_of[name]) for name in some]
        store.put(hashes_of(some), rows, [due_of[name] for name in some])
        known |= dict(zip(some, rows, strict=True))
        assert look_up(store, names) == known
        if turn % 4 == 3:
            ended += 1
            numbers, rows = store.due_at(ended)
            ids = hashes_of([brief_of(row).event_id for row in rows])
            newest = store.find(ids) == numbers
            living = {
                brief_of(row).event_id: row
                for row, counts in zip(rows, newest.tolist(), strict=True)
                if counts
            }
            assert living == {name: row for name, row in known.items() if due_of[name] == ended}
            store.end(ended, ids[newest])
            known = {name: row for name, row in known.items() if due_of[name] > ended}
        if turn % 3 == 0:
            store.save(turn)
        if turn % 6 == 0:
            store.close()
            store = EventStore(tmp_path, "life")
            assert store.offset == turn
        assert len(store) == len(known)
        assert store.due_by(1_000) == sorted({due_of[name] for name in known})
    store.close()


def test_what_was_not_saved_is_gone_after_a_restart_and_all_of_it_in_another_life(tmp_path: Path) -> None:
    store = EventStore(tmp_path, "life")
    rows = [open_row(answered(name, 0.5, START), 7) for name in "ab"]
    store.put(hashes_of(["a"]), rows[:1], [7])
    store.save(3)
    store.put(hashes_of(["b"]), rows[1:], [7])
    store.close()
    store = EventStore(tmp_path, "life")
    assert (look_up(store, ["a", "b"]), store.offset) == ({"a": rows[0]}, 3)
    store.close()
    store = EventStore(tmp_path, "another life")
    assert (len(store), store.offset) == (0, -1)
    store.close()


@pytest.mark.parametrize(
    ("event", "form"),
    [
        (OpenEvent("a", 9, [answered("a", 0.25, START)]), OPEN),
        (OpenEvent("a", 9, [answered("a", 0.25, START, carrier="UA")], "yes", 5), LABELLED),
        (OpenEvent("a", 9, [answered("a", 0.25, START)], True, 5), LABELLED),
        (OpenEvent("a", 9, [answered("a", 0.25, START)], 2.5, 5), LABELLED),
        (OpenEvent("a", 9, [answered("a", 0.25, START)], "y" * 300, 5), FULL),
        (OpenEvent("a", 9, [answered("a", 0.25, START)], None, 0, {"sale": 1.0}), FULL),
        (OpenEvent("a", 9, [answered("a", 0.2, START), answered("a", 0.3, START, version="2")]), FULL),
        (OpenEvent("a", 9, [], early_labels=[Known("a", "yes", 5)]), FULL),
        (OpenEvent("a", 9, [], early_outcomes=[Followed("a", "sale", 1.0, 5)]), FULL),
        (OpenEvent("\x00tail", 9, [answered("a", 0.25, START)]), FULL),
    ],
)
def test_a_row_gives_its_event_back(event: OpenEvent, form: int) -> None:
    row = row_of(event)
    assert (event_of(row), row[0], brief_of(row).event_id) == (event, form, event.event_id)


def test_labelling_a_row_is_the_same_as_labelling_its_event() -> None:
    event = OpenEvent("a", 9, [answered("a", 0.25, START)])
    for truth in ("yes", False, 1.5, "y" * 300):
        row = labelled_row(row_of(event), truth, 5)
        assert row == row_of(OpenEvent("a", 9, event.answers, truth, 5))


def test_nothing_is_left_once_every_horizon_has_passed(tmp_path: Path) -> None:
    log = Log()
    log.labels([Known("0-7", "yes", START)])  # before its answer: it does not hold on to the log for longer
    for hour in range(3):
        log.answers([answered(f"{hour}-{n}", 0.8, START + hour * HOUR) for n in range(200)])
        log.labels([Known(f"{hour}-{n}", "yes", START + hour * HOUR) for n in range(0, 200, 2)])
    log.time(START + 4 * HOUR + HOUR // 2)  # the first hour's horizon has passed
    harness = Harness(tmp_path, log, binary())
    harness.run(checkpoint=1)
    harness.join.confirm()
    assert harness.join.low_offset == 3, "the log is needed from the second hour's answers on"
    assert (len(harness.join.store), harness.join.open_events) == (400, 400)
    log.time(START + 9 * HOUR)
    harness.run(checkpoint=1)
    harness.join.confirm()
    assert harness.join.low_offset == harness.offset, "nothing of the log is needed"
    assert len(harness.join.store) == 0
    harness.join.store.close()
    disk = Disk(tmp_path / "p", "life")
    assert (list(disk.blocks()), disk.dues()) == ([], set())
    disk.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes: as good as a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_named_and_the_files_are_what_they_were(tmp_path: Path) -> None:
    store = EventStore(tmp_path, "life")
    names = [f"e{n}" for n in range(3_000)]
    rows = [open_row(answered(name, 0.5, START), 7) for name in names]
    store.put(hashes_of(names[:10]), rows[:10], [7] * 10)
    store.save(3)
    store.put(hashes_of(names[10:]), rows[10:], [7] * (len(names) - 10))
    (data,) = tmp_path.glob("rows/data.mdb")
    with files_of_at_most(data.stat().st_size + 8_192), pytest.raises(ServiceError) as full:
        store.save(9)
    assert str(full.value).startswith("join_dir: the store of open events in ")
    assert "what is missing comes from the log" in str(full.value)
    store.close()
    store = EventStore(tmp_path, "life")  # there is room again
    assert (store.offset, look_up(store, names)) == (3, dict(zip(names[:10], rows[:10], strict=True)))
    store.put(hashes_of(names[10:]), rows[10:], [7] * (len(names) - 10))
    store.save(9)
    assert look_up(store, names) == dict(zip(names, rows, strict=True))
    store.close()


def test_a_disk_that_is_full_from_the_start_is_named_too(tmp_path: Path) -> None:
    with files_of_at_most(4_096), pytest.raises(ServiceError, match=r"^join_dir: the store of open events"):
        EventStore(tmp_path, "life")
