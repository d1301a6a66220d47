"""``python -m shared.settings docs/configuration.md``: fill in the tables of settings of a document.

A table stands between ``<!-- settings package.module:Class -->`` and ``<!-- end -->`` and lists the
settings that this class adds. With ``--check`` nothing is written, and a stale table is an error.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path
from typing import Final

from shared.settings.flags import choices_of, default_text
from shared.settings.service import ServiceSettings, is_secret

_TABLE: Final = re.compile(r"(<!-- settings ([\w.]+):(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(document: str) -> str:
    """Return the document with every table current."""
    return _TABLE.sub(lambda match: match[1] + table(_load(match[2], match[3])) + match[4], document)


def table(cls: type[ServiceSettings]) -> str:
    """Return the settings that ``cls`` adds to the shared ones as a Markdown table."""
    known = {} if cls is ServiceSettings else ServiceSettings.model_fields
    lines = ["| setting | default | what it is |", "|---|---|---|"]
    for key, info in cls.model_fields.items():
        if key in known:
            continue
        default = default_text(info)
        shown = "**required**" if info.is_required() else default if " " in default else f"`{default}`"
        text = info.description or ""
        if choices := choices_of(info):
            text += ": " + ", ".join(f"`{choice}`" for choice in choices)
        if is_secret(info):
            text += " (secret: it may lie in a file, see above)"
        lines.append(f"| `{key}` | {shown} | {text} |".replace("| `none` |", "| |"))
    return "\n".join(lines) + "\n"


def _load(module: str, name: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = getattr(importlib.import_module(module), name)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Write or check the document; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared.settings", description=__doc__)
    parser.add_argument("document", type=Path)
    parser.add_argument("--check", action="store_true", help="fail where a table is not current")
    chosen = parser.parse_args(arguments)
    written = chosen.document.read_text("utf-8")
    current = fill(written)
    if not chosen.check:
        chosen.document.write_text(current, "utf-8")
        return 0
    if written != current:
        print(
            f"{chosen.document} is not current: run python -m shared.settings {chosen.document}",
            file=sys.stderr,
        )
    return int(written != current)


if __name__ == "__main__":
    sys.exit(main())
