"""The rules file as types: rules, inhibitions and receivers. Strict: an unknown key is an error."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from shared.alerting.durations import Duration
from shared.messages.alerts import Severity

NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
Name = Annotated[str, msgspec.Meta(pattern=NAME)]
Match = dict[str, str]
"""Pattern by label, with ``*`` and ``?``, or after a ``!`` what it must not be; every one must match."""

Kind = Literal["inference", "service", "topic", "drift", "shadow", "performance", "kpi", "decision"]
Format = Literal["driftline", "cloudevents", "alertmanager", "slack", "apprise"]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of everything in the file."""


class Baseline(Section, frozen=True, kw_only=True):
    """Earlier windows of the same thing, which the newest one is divided by.

    Attributes
    ----------
    windows
        Of how many windows before it the median is taken.
    at_least
        So many must be there before anything is judged.
    """

    windows: Annotated[int, msgspec.Meta(ge=1, le=100)]
    at_least: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3


class Rule(Section, frozen=True, kw_only=True):
    """One condition and what to say when it holds.

    Attributes
    ----------
    name
        Part of the alert's id: another name makes another alert.
    reports
        Which reports it reads; docs/alerting.md lists the labels and figures of each.
    figure
        A figure, or a formula of figures.
    above, below
        The condition: the figure is beyond this.
    absent
        The condition instead: no report of the group for so long.
    rate_over
        Judge how much the figure grew per second over so long a time, instead of the figure.
    relative_to
        Judge the figure divided by its median over earlier windows.
    min_count
        Judge only where ``count`` (events, pairs or labels, unless named) is at least this.
    where
        Only things whose labels match.
    for
        How long the condition must hold, in the time of the reports.
    keep_firing
        How long it must be over before the alert is resolved.
    tell_again
        Say it again when the condition holds for something else of the group too, so long after the last
        time at the earliest; absent: once is enough.
    group_by
        One alert for all things that have these labels in common; none named: one alert for the rule.
    severity
        ``info``, ``warning`` or ``critical``.
    labels
        Added to the alert's labels, for routing.
    summary
        The reason, with ``{figures}`` and ``{labels}`` filled in; ``{value:percent}``.
    runbook
        Where it says what to do.
    enabled
        False switches a default rule off.
    """

    name: Name
    reports: Kind | None = None
    figure: str = ""
    above: float | None = None
    below: float | None = None
    absent: Duration | None = None
    rate_over: Duration | None = None
    relative_to: Baseline | None = None
    min_count: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    count: str = ""
    where: Match = msgspec.field(default_factory=dict)
    for_: Duration = msgspec.field(default="0s", name="for")
    keep_firing: Duration = "0s"
    tell_again: Duration | None = None
    group_by: tuple[str, ...] | None = None
    severity: Severity = "warning"
    labels: dict[Name, str] = msgspec.field(default_factory=dict)
    summary: str = ""
    runbook: Annotated[str, msgspec.Meta(pattern=r"^https?://")] | None = None
    enabled: bool = True


class Inhibition(Section, frozen=True, kw_only=True):
    """While an alert that matches ``when`` fires, alerts that match ``mute`` are not delivered.

    Attributes
    ----------
    when, mute
        Pattern by label; ``rule`` and ``severity`` are labels too.
    equal
        Only where both alerts have the same values of these.
    """

    when: Annotated[Match, msgspec.Meta(min_length=1)]
    mute: Annotated[Match, msgspec.Meta(min_length=1)]
    equal: tuple[str, ...] = ()


class Receiver(Section, frozen=True, kw_only=True):
    """Somewhere that notifications go. Exactly one of ``url``, ``url_env``, ``url_file``.

    Attributes
    ----------
    name
        Part of the idempotency key.
    format
        What is posted.
    url, url_env, url_file
        Where to; the name of an environment variable or of a file that holds it, where it is a secret.
    secret_env, secret_file
        The key that signs: the variable or the file that holds it.
    token_env, token_file
        A bearer token, likewise.
    match
        Only alerts whose labels match.
    send_resolved
        Whether it hears that an alert is over.
    timeout
        Longest time for one attempt.
    give_up_after
        Then a notification is given up, until somebody asks for it again.
    allow_private
        Whether the address may be private, loopback or link-local.
    allow_http
        Whether the URL may be ``http://``.
    ca_file
        Authorities that sign its certificate; the system's if unset.
    """

    name: Name
    format: Format = "driftline"
    url: str | None = None
    url_env: str | None = None
    url_file: str | None = None
    secret_env: str | None = None
    secret_file: str | None = None
    token_env: str | None = None
    token_file: str | None = None
    match: Match = msgspec.field(default_factory=dict)
    send_resolved: bool = True
    timeout: Duration = "10s"
    give_up_after: Duration = "1d"
    allow_private: bool = False
    allow_http: bool = False
    ca_file: str | None = None


class RulesFile(Section, frozen=True, kw_only=True):
    """Everything that alerting is told.

    Attributes
    ----------
    defaults
        Whether the built-in rules hold too; one of the same name here replaces its built-in.
    rules, inhibit, receivers
        See there.
    """

    defaults: bool = True
    rules: tuple[Rule, ...] = ()
    inhibit: tuple[Inhibition, ...] = ()
    receivers: tuple[Receiver, ...] = ()
