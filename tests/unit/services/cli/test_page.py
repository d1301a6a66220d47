from __future__ import annotations

from pathlib import Path

from services.cli.page import Page, new_figure


def test_what_a_stranger_wrote_is_escaped_everywhere(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>"
    figure = new_figure()
    axes = figure.subplots()
    axes.plot([1, 2], [3, 4])
    axes.set_title(evil)
    page = Page(evil, lead=evil)
    page.heading(evil).text(evil, mood="bad").table([evil], [[evil]])
    page.plot(figure, evil)
    page.write(tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 7
    assert "<svg" in html


def test_the_same_plot_gives_the_same_bytes() -> None:
    def drawn() -> str:
        figure = new_figure()
        figure.subplots().plot([1, 2], [3, 4])
        page = Page("t")
        page.plot(figure, "a line")
        return page.render().rpartition("<footer>")[0]

    assert drawn() == drawn()
