"""One HTML file with tables and plots that needs nothing else: no network, no script."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, select_autoescape
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Final = {
    "reference": "#8a94a6", "current": "#2563eb", "champion": "#475569", "candidate": "#c2410c",
    "good": "#15803d", "bad": "#b91c1c",
}  # fmt: skip
"""The same thing has the same colour on every page."""

_TEMPLATE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title><style>
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1e293b;
  max-width: 68rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p.lead { color: #475569; margin: .2rem 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; margin: .5rem 0; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0;
  border-bottom: 1px solid #e2e8f0; vertical-align: top; }
th { color: #475569; font-weight: 600; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; } svg { max-width: 100%; height: auto; }
.good { color: #15803d; font-weight: 600; } .bad { color: #b91c1c; font-weight: 600; }
footer { margin-top: 3rem; color: #64748b; font-size: .8rem; }
</style></head><body>
<h1>{{ title }}</h1>{% if lead %}<p class="lead">{{ lead }}</p>{% endif %}
{% for part in parts %}{{ part }}
{% endfor %}<footer>Driftline, {{ made_at }}</footer></body></html>
"""

_environment = Environment(autoescape=select_autoescape(default=True, default_for_string=True))
_page = _environment.from_string(_TEMPLATE)
_table = _environment.from_string(
    '<div class="scroll"><table><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr>'
    "{% for row in rows %}<tr>{% for cell in row %}"
    '<td{% if cell is number %} class="n"{% endif %}>{{ cell }}</td>'
    "{% endfor %}</tr>{% endfor %}</table></div>"
)


class Page:
    """A report under construction; everything put into it is escaped.

    Examples
    --------
    >>> page = Page("Drift of flights", lead="version 3")
    >>> page.heading("Channels").table(["channel", "evidence"], [["<dep_delay>", 7.2]])
    >>> "&lt;dep_delay&gt;" in page.render(datetime(2013, 1, 1, tzinfo=UTC))
    True
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self._title, self._lead = title, lead
        self._parts: list[Markup] = []

    def heading(self, text: str) -> Page:
        """Add a heading; return the page."""
        self._parts.append(Markup("<h2>{}</h2>").format(text))
        return self

    def text(self, text: str, *, mood: str = "") -> Page:
        """Add a paragraph; ``mood`` is ``good``, ``bad`` or nothing."""
        self._parts.append(Markup('<p class="{}">{}</p>').format(mood, text))
        return self

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str | int | float]]) -> None:
        """Add a table; numbers are set to the right, as they are printed."""
        self._parts.append(Markup(_table.render(columns=columns, rows=rows)))  # noqa: S704 - autoescaped

    def plot(self, figure: Figure, description: str) -> None:
        """Add a Matplotlib figure as SVG; ``description`` is for those who cannot see it."""
        out = io.StringIO()
        figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
        svg = out.getvalue()
        svg = svg[svg.index("<svg") :]
        self._parts.append(
            Markup('<figure role="img" aria-label="{}" style="margin:0">{}</figure>').format(
                description,
                Markup(svg),  # noqa: S704 - drawn by Matplotlib, which escapes text
            )
        )

    def render(self, now: datetime | None = None) -> str:
        """Return the whole file."""
        made_at = (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
        return _page.render(title=self._title, lead=self._lead, parts=self._parts, made_at=made_at)

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(self.render(), encoding="utf-8")


def new_figure(width: float = 8.0, height: float = 2.6) -> Figure:
    """Return an empty figure in the pages' style, inches; no window or global state is involved."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "grid.color": "#e2e8f0", "axes.axisbelow": True, "svg.fonttype": "none", "svg.hashsalt": "driftline",
    })  # fmt: skip
    return Figure(figsize=(width, height), layout="constrained")
