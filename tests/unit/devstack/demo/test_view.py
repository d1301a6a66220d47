import io

from rich.console import Console

from devstack.demo.options import Options
from devstack.demo.view import LiveView, PlainView, open_view, screen
from tests.unit.devstack.demo.runs import finished_run


def drawn(run: object) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(screen(run))  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_screen_shows_every_service_and_what_came_back() -> None:
    run = finished_run()
    sight = run.sights["inference"]
    sight.per_second, sight.lag, sight.p50_ms, sight.p99_ms = 499.6, 1234, 3.21, 9.87
    sight.dead_letters, sight.champion = 1, "2013q1-0123abcd"
    lines = [line.rstrip() for line in drawn(run).splitlines()]
    assert lines[1] == "Driftline  flights of 2013-02-01, 500 events/s, at-least-once, 4 of 60 s"
    row = next(line.split() for line in lines if line.lstrip().startswith("inference") and "ready" in line)
    assert row == ["inference", "ready", "500", "1,234", "3.2", "9.9", "1", "2013q1-0123abcd"]
    text = "\n".join(lines)
    assert "sent 9   predicted 8 (0% late)   waiting 0\nbad events 1   dead letters 1" in text
    assert "p50 10.0 ms, p99 10.0 ms" in text
    assert "http://127.0.0.1:8080/metrics" in text
    assert "Ctrl-C stops." in text
    assert "…" not in text  # an ordinary terminal of 80 columns is wide enough


def test_nothing_yet_is_shown_as_dashes() -> None:
    run = finished_run(Options(), good=0, bad=0)
    assert "p50 - ms, p99 - ms" in drawn(run)
    assert "(- late)" in drawn(run)


def test_problems_show_while_it_runs() -> None:
    run = finished_run()
    run.ledger.predicted("ghost", "v1", None, 1.0)
    assert "a prediction for ghost, which was never sent as a good event" in drawn(run)


def test_without_a_terminal_a_line_comes_every_five_seconds() -> None:
    out, run = io.StringIO(), finished_run()
    view = open_view(out)
    assert isinstance(view, PlainView)
    for ended in (1.0, 2.0, 5.5, 6.0, 6.5, 11.5):
        run.replay_ended_at = ended
        view.show(run)
    view.close()
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "5", "10"]
    assert lines[0] == (
        "    0 s  2013-02-01  sent 9  predicted 8  waiting 0  p50 10.0  p99 10.0 ms"
        "  dead letters 1  inference ready  champion v1"
    )


def test_the_live_view_leaves_its_last_screen_standing() -> None:
    out = io.StringIO()
    view = LiveView(Console(file=out, width=100, force_terminal=True, color_system=None))
    view.say("before")
    view.show(finished_run())
    view.close()
    view.say("after")
    text = out.getvalue()
    assert text.index("before") < text.index("Ctrl-C stops.") < text.index("after")
    assert text.endswith("after\n")
