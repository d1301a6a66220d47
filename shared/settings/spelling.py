"""Suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for a misspelt name, nothing where no known one is near.

    Examples
    --------
    >>> did_you_mean("htp_port", ["http_host", "http_port"])
    '; did you mean http_port?'
    >>> did_you_mean("colour", ["http_host", "http_port"])
    ''
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""
