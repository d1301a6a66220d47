"""``driftline alerts list|show|silence``."""

from __future__ import annotations

import getpass
import re
import secrets
from collections import Counter
from pathlib import Path

import click
import msgspec
from rich.text import Text

from services.cli.alerts_reading import Known, known_alerts, now_ms, one_alert, send_command
from services.cli.connection import Connection, connection_options
from services.cli.printing import moment, safe, table
from shared.alerting.durations import milliseconds, spoken
from shared.alerting.matchable import Matchable
from shared.alerting.rules_file import load_rules
from shared.alerting.states import Delivery, Watch
from shared.errors import ServiceError
from shared.messages import Alert, Silence

_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan", "resolved": "green", "pending": "dim"}


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over too.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The newest N.")
@click.option("--json", "as_objects", is_flag=True, help="One JSON object per line.")
@connection_options
def list_alerts(connection: Connection, *, everything: bool, limit: int, as_objects: bool) -> None:
    """List alerts that fire or are pending, the newest first."""
    known = connection.run(known_alerts(connection))
    shown = [alert for alert in known.alerts.values() if everything or alert.status == "firing"]
    shown.sort(key=lambda alert: (alert.status == "firing", alert.changed_at), reverse=True)
    if as_objects:
        for alert in shown[:limit]:
            click.echo(msgspec.json.encode(alert))
        return
    now = now_ms()
    rows = [_row(alert, known, now) for alert in shown[:limit]] + [
        _pending(watch, now) for watch in known.pending
    ]
    if rows:
        table(("alert", "status", "rule", "about", "since", "told", "summary"), rows, whole=5)
    waiting = Counter(delivery.state for delivery in known.deliveries)
    over = len(known.alerts) - sum(alert.status == "firing" for alert in known.alerts.values())
    click.echo(
        f"{len(known.alerts) - over} firing, {len(known.pending)} pending, {over} over; notifications: "
        f"{waiting['delivered']} delivered, {waiting['waiting']} waiting, {waiting['given-up']} given up"
    )
    for silence in _standing(known.silences, now):
        click.echo(_silence_line(silence, now))


@click.command()
@click.argument("alert_id", metavar="ALERT")
@click.option("--json", "as_objects", is_flag=True, help="One JSON object.")
@connection_options
def show(connection: Connection, *, alert_id: str, as_objects: bool) -> None:
    """Show one alert: the reason, the figures behind it, who was told. The beginning of its id is enough."""
    known = connection.run(known_alerts(connection))
    alert = one_alert(known, alert_id)
    place = alert.report
    if as_objects:
        click.echo(msgspec.json.encode(alert))
        return
    click.echo(f"{safe(alert.summary)}\n")
    facts = {
        "alert": alert.alert_id, "rule": alert.rule, "severity": alert.severity, "status": alert.status,
        "began": moment(alert.started_at), "changed": moment(alert.changed_at), "muted by": alert.muted_by,
        "report": place and f"{place.topic} {place.partition}:{place.offset}",
        "trace": alert.traceparent and alert.traceparent.split("-")[1],
    } | alert.labels | alert.links  # fmt: skip
    for name, value in facts.items():
        if value:
            click.echo(f"{name + ':':14}{safe(value)}")
    click.echo()
    table(("figure", "value"), [(safe(name), _figure(value)) for name, value in alert.evidence.items()])
    deliveries = [one for one in known.deliveries if one.alert.alert_id == alert.alert_id]
    if deliveries:
        click.echo()
        table(("receiver", "notification", "state", "attempts", "error"), [_told(one) for one in deliveries])


@click.command()
@click.option(
    "--match", "matches", multiple=True, metavar="LABEL=PATTERN", help="What is silenced; all must fit."
)
@click.option("--for", "span", default="1h", show_default=True, metavar="DURATION", help="30m, 2h, 1d.")
@click.option("-m", "--why", default="", metavar="TEXT", help="For whoever wonders.")
@click.option("--name", default=None, help="Its name; one of the same name is replaced.")
@click.option("--end", metavar="NAME", help="End a silence now.")
@click.option(
    "--rules",
    "rules_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="DRIFTLINE_ALERT_RULES",
    help="The rules file: its labels can be matched too. (DRIFTLINE_ALERT_RULES)",
)
@connection_options
def silence(
    connection: Connection,
    *,
    rules_file: Path | None,
    matches: tuple[str, ...],
    span: str,
    why: str,
    name: str | None,
    end: str | None,
) -> None:
    """Deliver no notification of alerts that match, for a while; they are kept and listed all the same.

    \b
    driftline alerts silence --match rule=drift --match 'model=flight*' --for 2h -m "retraining"
    driftline alerts silence --end drift-3f1a
    """
    now = now_ms()
    if end is not None:
        known = connection.run(known_alerts(connection))
        standing = {one.silence_id: one for one in _standing(known.silences, now)}
        if end not in standing:
            raise ServiceError(f"no silence is called {end}; there are: {', '.join(standing) or 'none'}")
        ended = msgspec.structs.replace(standing[end], ends_at=now, who=getpass.getuser(), at=now)
        connection.run(send_command(connection, ended))
        click.echo(f"silence {end} ends")
        return
    asked = Silence(
        who=getpass.getuser(),
        at=now,
        silence_id=name or f"{_word(matches)}-{secrets.token_hex(2)}",
        match=_known_pairs(connection, matches, rules_file),
        starts_at=now,
        ends_at=now + _span(span),
        why=why,
    )
    connection.run(send_command(connection, asked))
    click.echo(_silence_line(asked, now))


def _pairs(matches: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(match.partition("=")[::2] for match in matches)
    if not pairs or not all(re.fullmatch(r"\w+", label) and pattern for label, pattern in pairs.items()):
        raise click.UsageError("--match LABEL=PATTERN says what is silenced, such as --match rule=drift")
    return pairs


def _known_pairs(connection: Connection, matches: tuple[str, ...], rules_file: Path | None) -> dict[str, str]:
    """Return what is to match; a label that no alert has would silence nothing."""
    pairs, rules = _pairs(matches), [one.rule for one in load_rules(rules_file).conditions]
    if not pairs.keys() <= Matchable(rules).labels:
        said = connection.run(known_alerts(connection)).alerts.values()
        matchable = Matchable(rules, {name for alert in said for name in alert.labels})
        for name in pairs:
            if problem := matchable.unknown(name):
                raise ServiceError(f"--match {name}: {problem}; --rules names a file that adds others")
    return pairs


def _span(text: str) -> int:
    try:
        return milliseconds(text)
    except ValueError as error:
        raise click.UsageError(f"--for: {error}") from error


def _word(matches: tuple[str, ...]) -> str:
    first = matches[0].partition("=")[2] if matches else ""
    return re.sub(r"\W+", "", first)[:20] or "silence"


def _standing(silences: list[Silence], now: int) -> list[Silence]:
    return [silence for silence in silences if silence.ends_at > now]


def _silence_line(silence: Silence, now: int) -> str:
    match = " ".join(f"{label}={pattern}" for label, pattern in silence.match.items())
    why = f": {silence.why}" if silence.why else ""
    return safe(
        f"silence {silence.silence_id} on {match} for {spoken(silence.ends_at - now)}, by {silence.who}{why}"
    )


def _row(alert: Alert, known: Known, now: int) -> list[str | Text]:
    status = Text(alert.severity, _STYLES[alert.severity])
    if alert.status == "resolved":
        status = Text("resolved", _STYLES["resolved"])
    elif alert.muted_by:
        status = Text("silenced", "dim")
    told = Counter(
        delivery.state
        for delivery in known.deliveries
        if delivery.alert.alert_id == alert.alert_id and delivery.alert.status == alert.status
    )
    about = " ".join(filter(None, (alert.model, alert.model_version)))
    return [
        alert.alert_id[:12],
        status,
        alert.rule,
        safe(about or alert.subject),
        spoken(max(0, now - alert.changed_at)) + " ago",
        alert.muted_by or ", ".join(f"{count} {state}" for state, count in told.items()) or "-",
        safe(alert.summary),
    ]


def _pending(watch: Watch, now: int) -> list[str | Text]:
    about = " ".join(value for _, value in watch.group)
    since = spoken(max(0, now - watch.since)) + " ago"
    return [watch.alert_id[:12], Text("pending", "dim"), watch.rule, safe(about), since, "-", ""]


def _told(delivery: Delivery) -> list[str | Text]:
    return [
        delivery.receiver,
        f"{delivery.alert.status} {moment(delivery.alert.changed_at)}",
        delivery.state,
        str(delivery.attempts),
        safe(delivery.error),
    ]


def _figure(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else safe(str(value))
