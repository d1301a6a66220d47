"""The runbooks of ``docs/runbooks``, served beside the alerts that link to them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

from services.alerting.page.html import Markup, document
from services.alerting.page.markdown import to_html

_BACK: Final = Markup('<p><a href="/">Driftline</a></p>')
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


def has_runbook(name: str) -> bool:
    """Return whether there is a page of this name."""
    return _text(name) is not None


def runbook(name: str) -> str | None:
    """Return the page of an alert as HTML, ``None`` where there is none."""
    text = _text(name)
    return None if text is None else document(name, [_BACK, to_html(text)])


@cache
def folders() -> tuple[Path, ...]:
    """Return where the pages may lie: in an installed package beside this code, else in the repository."""
    here = Path(__file__)
    return here.parents[1] / "runbooks", here.parents[3] / "docs" / "runbooks"


def _text(name: str) -> str | None:
    if _NAME.fullmatch(name) is None:
        return None
    for folder in folders():
        path = folder / f"{name}.md"
        if path.is_file():
            return path.read_text("utf-8")
    return None
