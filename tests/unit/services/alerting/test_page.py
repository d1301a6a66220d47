"""The page: what it says, in which order, and that nothing a stranger names becomes HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.alerting.exposition import ReportCollector
from services.alerting.outbox import Outbox
from services.alerting.page import SaidAlerts, overview, runbook
from services.alerting.page.html import link
from services.alerting.page.said import MOST_FIRING, MOST_RESOLVED
from shared.alerting.posting import Outcome
from shared.alerting.rules import Receiver
from shared.alerting.states import Watch
from shared.messages import Alert, Silence
from shared.messages.shadow import Comparison
from tests.unit.services.alerting.test_exposition import (
    NOW,
    beat,
    drift_report,
    inference,
    performance,
    shadow,
)

RUNBOOKS = Path(__file__).parents[4] / "docs" / "runbooks"


class Text(HTMLParser):
    """Checks that every tag is closed, and keeps what a person reads."""

    VOID = ("meta", "link", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def __str__(self) -> str:
        return " ".join(self.words)


def alert(name: str, **extra: Any) -> Alert:
    given = {"alert_id": name, "rule": name, "severity": "warning", "status": "firing", "subject": "m"}
    times = {"started_at": NOW - 3_600_000, "changed_at": NOW - 60_000}
    return Alert(**given | times | {"summary": f"{name} is wrong"} | extra)


def tell(said: SaidAlerts, one: Alert) -> None:
    """As the service does: the change to the topic, then the watch to the state, or its deletion."""
    said.take(b"", msgspec.json.encode(one))
    watch = Watch(one.rule, (), one.alert_id, since=one.started_at, fired_at=one.started_at, alert=one)
    over = one.status == "resolved"
    said.take_state(f"watch/{one.rule}".encode(), b"" if over else msgspec.json.encode(watch))


def page(*things: Any) -> str:
    said, shown = SaidAlerts(), ReportCollector(CollectorRegistry(), clock=lambda: NOW)
    for thing in things:
        if isinstance(thing, Alert):
            tell(said, thing)
        else:
            shown.take(thing)
    return overview(said, shown, NOW)


def test_nothing_known_says_so() -> None:
    said = str(Text(page()))
    assert "Nothing fires, and nothing has been heard of either." in said
    assert "No model has been reported on within a day." in said
    assert "No service has been heard of within a day." in said


def test_who_is_not_told_and_why_is_said() -> None:
    said, shown = SaidAlerts(), ReportCollector(CollectorRegistry(), clock=lambda: NOW)
    assert "Nobody is told of alerts" in str(Text(overview(said, shown, NOW)))
    outbox = Outbox((Receiver(name="hook", url="https://x.y"), Receiver(name="pager", url="https://x.z")))

    def drained() -> str:
        for key, value in outbox.drain().items():
            said.take_state(key.encode(), value or b"")
        return str(Text(overview(said, shown, NOW, receivers=("hook", "pager"))))

    for name, outcome in (
        ("hook", Outcome("HTTP 400: <b>no</b>")),
        ("pager", Outcome("HTTP 503", again=True)),
    ):
        outbox.notify(alert("lag"), NOW - 60_000) if name == "hook" else None
        delivery = outbox.due(name, NOW - 60_000)
        assert delivery is not None
        outbox.settle(delivery, outcome, NOW - 60_000)
    text = drained()
    assert "Nobody" not in text
    assert "Not delivered receiver waiting given up since for last error" in text
    assert "hook 0 1" in text
    assert "HTTP 400: <b>no</b>" in text
    assert "pager 1 0" in text
    assert "1 min HTTP 503" in text
    delivery = outbox.due("pager", NOW)
    assert delivery is not None
    outbox.settle(delivery, Outcome(), NOW)
    assert "pager" not in drained()
    silence = Silence(
        silence_id="night", match={"model": "m", "rule": "lag"}, starts_at=0, ends_at=NOW + 120_000,
        who="ann", at=0, why="a known one",
    )  # fmt: skip
    said.take_state(b"silence/night", msgspec.json.encode(silence))
    assert "night model=m, rule=lag" in drained()
    assert "2 min ann a known one" in drained()
    said.take_state(b"silence/night", b"")
    assert "night" not in drained()


def test_the_worst_comes_first_with_since_when_and_what_to_do() -> None:
    html = page(
        alert("lag"), alert("drift", severity="critical", changed_at=NOW), alert("quiet", muted_by="night")
    )
    said = str(Text(html))
    assert "2 alerts fire, the worst is critical; 1 more muted." in said
    alone = str(Text(page(alert("quiet", muted_by="night"))))
    assert "1 alert fires, muted: nobody is told." in alone
    assert said.index("drift is wrong") < said.index("lag is wrong")
    assert '<a href="/runbooks/drift">drift</a>' in html
    assert "1 h" in said
    assert "muted by night" in said


def test_what_was_resolved_no_longer_fires_and_what_fires_anew_is_not_over() -> None:
    over = alert("lag", status="resolved", changed_at=NOW)
    said = str(Text(page(alert("lag"), over, inference())))
    assert "Nothing fires." in said
    assert "Resolved lately" in said
    anew = str(Text(page(alert("lag"), over, alert("lag", changed_at=NOW + 1))))
    assert "1 alert fires" in anew
    assert "Resolved lately" not in anew


def test_what_fires_is_shown_for_longer_than_the_topic_holds_it() -> None:
    said = SaidAlerts()
    one = alert("lag", changed_at=NOW - 100 * 86_400_000)
    watch = Watch("lag", (), "lag", since=one.started_at, fired_at=one.started_at, alert=one)
    said.take_state(b"watch/lag", msgspec.json.encode(watch))
    said.take_state(b"position/g/reports/0", b"{}")
    said.take_state(b"watch/pending", msgspec.json.encode(Watch("p", (), "p", since=1)))
    assert [alert.rule for alert in said.firing] == ["lag"]


def test_models_services_and_reports_are_told() -> None:
    gone = beat("box:9", service="shadow", written_at=NOW - 60_000)
    trouble = beat("box:2", model_trouble={"m": "version 2: damaged"})
    report = shadow(comparison=Comparison(both=100, agreed=90))
    assert "90 % estimated" in str(Text(page(inference(), performance(9, 0, 0))))
    assert "80 %" in str(Text(page(inference(), performance(9, 50, 40))))
    said = str(Text(page(inference(), drift_report(), report, beat(lag={"events": 12_345}), trouble, gone)))
    assert "dep_delay" in said
    assert "2: 90 % the same of 100" in said
    assert "12,345" in said
    assert "m: version 2: damaged" in said
    assert "gone" in said
    assert "Last reports" in said


def test_names_of_strangers_are_text() -> None:
    evil = "<script>alert(1)</script>"
    html = page(alert(evil, summary=evil, links={"runbook": "javascript:alert(1)"}), inference(model=evil))
    assert "<script" not in html
    assert "javascript:" not in html
    assert str(link(evil, "javascript:x")) == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert evil in str(Text(html))


def test_alerts_are_bounded() -> None:
    said = SaidAlerts()
    for number in range(2 * MOST_FIRING):
        tell(said, alert(f"f{number}", changed_at=NOW + number))
        tell(said, alert(f"r{number}", status="resolved", changed_at=NOW + number))
    assert len(said.firing) == MOST_FIRING
    assert len(said.resolved) == MOST_RESOLVED
    assert said.resolved[0].rule == f"r{2 * MOST_FIRING - 1}"


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_every_runbook_is_served_as_html(path: Path) -> None:
    html = runbook(path.stem)
    assert html is not None
    said = str(Text(html))
    assert "**" not in said
    assert "`" not in said


@pytest.mark.parametrize("name", ["nobody", "../README", "..", "", "a/b", "x" * 100])
def test_only_runbooks_are_served(name: str) -> None:
    assert runbook(name) is None
