"""A whole HTML document of escaped parts; no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1e293b; --dim: #64748b; --line: #e2e8f0; --paper: #fff;
  --good: #15803d; --warning: #b45309; --critical: #b91c1c; --link: #1d4ed8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --dim: #94a3b8; --line: #334155;
  --paper: #0f172a; --good: #4ade80; --warning: #fbbf24; --critical: #f87171; --link: #93c5fd; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
p.lead { margin: .2rem 0 1rem; } a { color: var(--link); } .dim, footer { color: var(--dim); }
.good { color: var(--good); } .warning, .info { color: var(--warning); } .critical { color: var(--critical); }
.good, .warning, .critical { font-weight: 600; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
@media (max-width: 40rem) { .stacked th { display: none; }
  .stacked tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .stacked td { display: inline-block; border: 0; padding: 0 .8rem 0 0; text-align: left;
    white-space: normal; } }
.scroll { overflow-x: auto; } code { font-size: .9em; } footer { margin-top: 2rem; font-size: .8rem; }
"""


class Markup(str):
    """Text that is HTML already: everything else is escaped."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Return a value as HTML.

    Examples
    --------
    >>> text("<script>"), text(Markup("<b>x</b>")), text(None)
    ('&lt;script&gt;', '<b>x</b>', '')
    """
    if isinstance(value, Markup):
        return value
    return Markup("" if value is None else escape(str(value)))


def marked(value: object, kind: str) -> Markup:
    """Return a value in the colour of ``good``, ``warning``, ``critical`` or ``dim``."""
    return Markup(f'<span class="{escape(kind)}">{text(value)}</span>')


def link(value: object, address: str) -> Markup:
    """Return a link; an address that is neither of this page nor of the web is only text."""
    if not address.startswith(("/", "https://", "http://")):
        return text(value)
    return Markup(f'<a href="{escape(address)}">{text(value)}</a>')


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
    stacked: bool = False,
) -> Markup:
    """Return a table; the columns in ``numbers`` stand to the right.

    Parameters
    ----------
    stacked
        Whether a telephone shows each row as a paragraph: its cells must explain themselves.
    """
    kinds = [' class="number"' if name in numbers else "" for name in columns]
    head = "".join(f"<th{kind}>{text(name)}</th>" for name, kind in zip(columns, kinds, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{text(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    kind = ' class="stacked"' if stacked else ""
    return Markup(f'<div class="scroll"><table{kind}><tr>{head}</tr>{body}</table></div>')


def document(title: str, parts: Iterable[Markup], *, refresh: int | None = None) -> str:
    """Return a whole page; ``refresh`` in seconds loads it anew by itself."""
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">{again}'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
