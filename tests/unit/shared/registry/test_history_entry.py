from __future__ import annotations

import pytest

from shared.registry import HistoryEntry


@pytest.mark.parametrize(
    ("action", "before", "after", "expected"),
    [
        ("register", None, "2", "revision 7: registered 2, by ann (AUC)"),
        ("promote", None, "2", "revision 7: promoted 2, by ann (AUC)"),
        ("promote", "1", "2", "revision 7: promoted 2 over 1, by ann (AUC)"),
        ("rollback", "2", "1", "revision 7: rolled back from 2 to 1, by ann (AUC)"),
        ("set-candidate", None, "2", "revision 7: made 2 a candidate, by ann (AUC)"),
        ("remove-candidate", "2", None, "revision 7: removed the candidate 2, by ann (AUC)"),
    ],
)
def test_a_change_in_one_line(action, before, after, expected):
    entry = HistoryEntry(
        model="m",
        revision=7,
        at=0,
        who="ann",
        why="AUC",
        action=action,
        from_version=before,
        to_version=after,
        request_id="r",
    )
    assert str(entry) == expected


def test_what_somebody_wrote_steers_no_terminal():
    entry = HistoryEntry(
        model="m",
        revision=7,
        at=0,
        who="a\x1b[31m",
        why="",
        action="promote",
        from_version=None,
        to_version="2",
        request_id="r",
    )
    assert str(entry) == "revision 7: promoted 2, by a?[31m"
