"""The vocabulary as tables: ``python -m shared.alerting.documentation docs/alerting.md`` writes them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from shared.alerting.readers import VOCABULARIES
from shared.alerting.vocabulary import Vocabulary

_PLACE: Final = re.compile(r"(<!-- vocabulary -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str) -> str:
    """Return a document with the tables between its marks made anew."""
    tables = "\n".join(map(_table, VOCABULARIES.values()))
    return _PLACE.sub(lambda found: f"{found[1]}{tables}{found[2]}", text)


def _table(vocabulary: Vocabulary) -> str:
    labels = ", ".join(f"`{name}`" for name in vocabulary.labels)
    count = f"; `min_count` is about `{vocabulary.count}`" if vocabulary.count else ""
    pooled = "; all windows are taken together" if vocabulary.pooled else ""
    rows = "\n".join(f"| `{name}` | {text} |" for name, text in vocabulary.figures.items())
    head = f"**`reports: {vocabulary.kind}`** (labels {labels}{count}{pooled})"
    return f"{head}\n\n| figure | what it is |\n|---|---|\n{rows}\n"


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(fill(document.read_text("utf-8")), "utf-8")
