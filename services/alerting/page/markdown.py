"""As much of Markdown as the runbooks use: headings, paragraphs, lists, tables, bold, code and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Final

from services.alerting.page.html import Markup

_CODE: Final = re.compile(r"`([^`]+)`")
_BOLD: Final = re.compile(r"\*\*([^*]+)\*\*")
_LINK: Final = re.compile(r"\[([^\]]+)\]\(([A-Za-z0-9./#-]+?)(?:\.md)?\)")
_ITEM: Final = re.compile(r"(-|\d+\.) +")


def to_html(text: str) -> Markup:
    """Return the text as HTML, everything escaped first.

    Examples
    --------
    >>> to_html("# A <b>\\n\\nSee `x`,\\nthen **y**.\\n\\n- one\\n  more\\n- two\\n")
    '<h1>A &lt;b&gt;</h1><p>See <code>x</code>, then <b>y</b>.</p><ul><li>one more</li><li>two</li></ul>'
    """
    return Markup("".join(map(_block, _blocks(text))))


def _blocks(text: str) -> Iterator[list[str]]:
    """Yield runs of lines between empty ones."""
    for block in re.split(r"\n\s*\n", text.strip()):
        yield block.splitlines()


def _block(lines: list[str]) -> str:
    first = lines[0]
    if first.startswith("#"):
        level = len(first) - len(first.lstrip("#"))
        return f"<h{level}>{_inline(first[level:].strip())}</h{level}>"
    if first.startswith("|"):
        rows = [line.strip().strip("|").split("|") for line in lines if not re.fullmatch(r"[|\s:-]+", line)]
        cells = ("".join(f"<td>{_inline(cell.strip())}</td>" for cell in row) for row in rows)
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
    if _ITEM.match(first):
        kind = "ul" if first.startswith("-") else "ol"
        items = re.split(r"\n(?=(?:-|\d+\.) )", "\n".join(lines))
        inside = "".join(f"<li>{_inline(_ITEM.sub('', item, count=1))}</li>" for item in items)
        return f"<{kind}>{inside}</{kind}>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _inline(text: str) -> str:
    text = escape(re.sub(r"\s+", " ", text), quote=False)
    parts = _CODE.split(text)  # every second part is code, and stays as it is
    for at in range(0, len(parts), 2):
        parts[at] = _LINK.sub(r'<a href="\2">\1</a>', _BOLD.sub(r"<b>\1</b>", parts[at]))
    for at in range(1, len(parts), 2):
        parts[at] = f"<code>{parts[at]}</code>"
    return "".join(parts)
