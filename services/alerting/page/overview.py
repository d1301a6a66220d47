"""The page itself: what is wrong, since when, how bad, what to do; then everything that is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from services.alerting.exposition.collector import ReportCollector
from services.alerting.exposition.gauges import Gauges
from services.alerting.exposition.services import alive, gone
from services.alerting.page.html import Markup, document, link, marked, table, text
from services.alerting.page.quiet import Untold
from services.alerting.page.runbooks import has_runbook
from services.alerting.page.said import SaidAlerts
from services.alerting.page.wording import ago, figure, moment
from shared.messages import Alert, ServiceReport

REFRESH_SECONDS = 15


def overview(said: SaidAlerts, shown: ReportCollector, now: int, *, receivers: Collection[str] = ()) -> str:
    """Return the page.

    Parameters
    ----------
    now
        Epoch milliseconds.
    receivers
        Who is told of alerts.
    """
    gauges, reports = shown.gauges(now), shown.recent
    heard = bool(reports.newest(now) or reports.services(now))
    parts = [
        Markup(f"<h1>Driftline</h1>{_lead(said.firing, heard=heard)}"),
        *_firing(said.firing, now),
        *_untold(said.untold, receivers, now),
        *_resolved(said.resolved, now),
        *_models(gauges),
        *_services(reports.services(now), now),
        *_last_reports(reports.newest(now), now),
        Markup(f'<footer>{text(moment(now))}; loads itself anew. <a href="/metrics">metrics</a> &middot; '
               '<a href="/readyz">readiness</a></footer>'),
    ]  # fmt: skip
    return document("Driftline", parts, refresh=REFRESH_SECONDS)


def _lead(firing: list[Alert], *, heard: bool) -> Markup:
    loud = [alert for alert in firing if alert.muted_by is None]
    muted = len(firing) - len(loud)
    if not firing and not heard:
        return Markup('<p class="lead warning">Nothing fires, and nothing has been heard of either.</p>')
    if not firing:
        return Markup('<p class="lead good">Nothing fires.</p>')
    if not loud:
        return Markup(f'<p class="lead warning">{_count(muted)}, muted: nobody is told.</p>')
    worst = loud[0].severity
    rest = f"; {muted} more muted" if muted else ""
    return Markup(f'<p class="lead {worst}">{_count(len(loud))}, the worst is {worst}{rest}.</p>')


def _count(alerts: int) -> str:
    return "1 alert fires" if alerts == 1 else f"{alerts} alerts fire"


def _untold(untold: Untold, receivers: Collection[str], now: int) -> Iterator[Markup]:
    """Say why nobody may have heard of what fires."""
    if not receivers:
        yield Markup('<p class="warning">Nobody is told of alerts: the rules file names no receiver.</p>')
    if backlogs := untold.backlogs:
        yield Markup("<h2>Not delivered</h2>")
        yield table(
            ["receiver", "waiting", "given up", "since", "for", "last error"],
            [
                [
                    marked(name, "critical"),
                    backlog.waiting,
                    backlog.given_up,
                    moment(backlog.since),
                    ago(backlog.since, now),
                    backlog.error,
                ]
                for name, backlog in backlogs.items()
            ],
            numbers=["waiting", "given up", "since", "for"],
        )
        yield Markup(
            '<p class="dim">What was given up goes out again by <code>driftline alerts redeliver</code>.</p>'
        )
    if silences := untold.silences(now):
        yield Markup("<h2>Silences</h2>")
        yield table(
            ["silence", "what", "until", "left", "by", "why"],
            [
                [
                    one.silence_id,
                    ", ".join(f"{name}={pattern}" for name, pattern in sorted(one.match.items())),
                    moment(one.ends_at),
                    ago(now, one.ends_at) if one.starts_at <= now else f"begins in {ago(now, one.starts_at)}",
                    one.who,
                    one.why,
                ]
                for one in silences
            ],
            numbers=["until", "left"],
        )


def _firing(firing: list[Alert], now: int) -> Iterator[Markup]:
    if firing:
        yield Markup("<h2>Firing</h2>")
        yield table(
            ["severity", "alert", "what", "since", "for"],
            [
                [
                    marked(alert.severity, alert.severity),
                    _what_to_do(alert),
                    _summary(alert),
                    moment(alert.started_at),
                    ago(alert.started_at, now),
                ]
                for alert in firing
            ],
            numbers=["since", "for"],
            stacked=True,
        )


def _resolved(resolved: list[Alert], now: int) -> Iterator[Markup]:
    if resolved:
        yield Markup("<h2>Resolved lately</h2>")
        yield table(
            ["alert", "what it was", "resolved"],
            [
                [_what_to_do(alert), alert.summary, f"{ago(alert.changed_at, now)} ago"]
                for alert in resolved[:10]
            ],
            stacked=True,
        )


def _summary(alert: Alert) -> Markup:
    muted = "" if alert.muted_by is None else marked(f" (muted by {alert.muted_by})", "dim")
    return Markup(f"{text(alert.summary)}{muted}")


def _what_to_do(alert: Alert) -> Markup:
    """Return the rule's name with a link to its runbook, where there is one."""
    if "runbook" in alert.links:
        return link(alert.rule, alert.links["runbook"])
    return link(alert.rule, f"/runbooks/{alert.rule}") if has_runbook(alert.rule) else text(alert.rule)


def _models(gauges: Gauges) -> Iterator[Markup]:
    yield Markup("<h2>Models</h2>")
    answering = gauges.samples("driftline_model_recent_predictions")
    if not answering:
        yield Markup('<p class="dim">No model has been reported on within a day.</p>')
        return
    yield table(
        ["model", "version", "events", "refused", "p99", "median score", "accuracy", "drift", "shadow"],
        [_model_row(gauges, labels, events) for labels, events in answering],
        numbers=["events", "refused", "p99", "median score", "accuracy"],
    )
    yield Markup('<p class="dim">Over the two newest windows of event time.</p>')


def _model_row(gauges: Gauges, labels: Mapping[str, str], events: float) -> list[object]:
    of = {"model": labels["model"], "version": labels["version"]}
    refused = sum(count for _, count in gauges.samples("driftline_model_recent_errors", **of))
    return [
        labels["model"],
        labels["version"],
        figure(events),
        figure(refused / (refused + events) if refused else 0.0, "%"),
        figure(gauges.first("driftline_model_recent_latency_seconds", **of, percentile="99"), "s"),
        figure(gauges.first("driftline_model_recent_score", **of, percentile="50")),
        _accuracy(gauges, of),
        _drift(gauges, of),
        _shadow(gauges, labels["model"], labels["version"]),
    ]


def _accuracy(gauges: Gauges, of: Mapping[str, str]) -> str | Markup:
    """Return it by labels where there are any, else as the scores promise."""
    realised = gauges.first("driftline_quality_realised", **of, figure="accuracy")
    if realised is not None:
        return figure(realised, "%")
    estimated = gauges.first("driftline_quality_estimated", **of, figure="accuracy")
    if estimated is None:
        return ""
    said = f"{figure(estimated, '%')} estimated"
    if gauges.first("driftline_quality_estimate_trusted", **of) == 0:
        return marked(f"{said}, not to be trusted: label given score alarms", "critical")
    return said


def _drift(gauges: Gauges, of: Mapping[str, str]) -> Markup:
    if gauges.first("driftline_model_drift_events", **of) is None:
        return marked("not watched", "dim")
    on = [labels["channel"] for labels, value in gauges.samples("driftline_model_drift_alarm", **of) if value]
    if on:
        return marked(f"{', '.join(on[:5])}{' …' if len(on) > 5 else ''}", "critical")
    threshold = gauges.first("driftline_model_drift_threshold", **of)
    peaks = [value for _, value in gauges.samples("driftline_model_drift_peak_evidence", **of)]
    if threshold is None or not peaks:
        return marked("learning", "dim")
    return marked(f"none; evidence {figure(max(peaks))} of {figure(threshold)}", "good")


def _shadow(gauges: Gauges, model: str, champion: str) -> str:
    words = []
    for labels, pairs in gauges.samples("driftline_shadow_pairs", model=model, champion=champion):
        of = {"model": model, "champion": champion, "candidate": labels["candidate"]}
        agreed = figure(gauges.first("driftline_shadow_agreement_ratio", **of), "%")
        won = figure(gauges.first("driftline_shadow_win_ratio", **of), "%")
        words.append(
            f"{labels['candidate']}: {agreed} the same of {figure(pairs)}"
            + (f", wins {won} of labelled pairs" if won else "")
        )
    return "; ".join(words)


def _services(reports: list[ServiceReport], now: int) -> Iterator[Markup]:
    yield Markup("<h2>Services</h2>")
    by_service: dict[str, list[ServiceReport]] = defaultdict(list)
    for report in reports:
        by_service[report.service].append(report)
    if not by_service:
        yield Markup('<p class="dim">No service has been heard of within a day.</p>')
        return
    yield table(
        ["service", "processes", "state", "version", "lag", "partitions", "refused", "last heard"],
        [_service_row(name, members, now) for name, members in sorted(by_service.items())],
        numbers=["processes", "lag", "partitions", "refused"],
    )


def _service_row(name: str, members: list[ServiceReport], now: int) -> list[object]:
    living = [report for report in members if alive(report, now)]
    newest = max(members, key=lambda report: report.written_at)
    return [
        name,
        len(living),
        _state(members, living, now),
        ", ".join(sorted({report.version for report in living or [newest]})),
        figure(max((lag for report in living for lag in report.lag.values()), default=0)),
        sum(report.partitions for report in living),
        figure(sum(sum(report.dead_letters.values()) for report in living)),
        f"{ago(newest.written_at, now)} ago",
    ]


def _state(members: list[ServiceReport], living: list[ServiceReport], now: int) -> Markup:
    if not living:
        missed = any(gone(report, now) for report in members)
        return marked("gone", "critical") if missed else marked("stopped", "dim")
    reasons = {reason for report in living for reason in report.not_ready.values()}
    reasons |= {f"{model}: {why}" for report in living for model, why in report.model_trouble.items()}
    if any(report.registry_up is False for report in living):
        reasons.add("the model registry does not answer")
    return marked("; ".join(sorted(reasons)), "warning") if reasons else marked("ready", "good")


def _last_reports(newest: list[tuple[str, str, str, int, int]], now: int) -> Iterator[Markup]:
    if newest:
        yield Markup("<h2>Last reports</h2>")
        yield table(
            ["kind", "model", "about", "window from", "written"],
            [
                [kind, model, subject, moment(start), f"{ago(written, now)} ago"]
                for kind, model, subject, start, written in newest[:30]
            ],
        )
