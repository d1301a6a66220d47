"""A rule made ready: patterns, formula and durations checked and compiled once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any, Final

from shared.alerting.durations import milliseconds, spoken
from shared.alerting.expression import Expression, compile_expression
from shared.alerting.readers import VOCABULARIES
from shared.alerting.rules import Match, Rule
from shared.alerting.vocabulary import Labels, Vocabulary

Problem = tuple[str, str]
"""The key at fault and what is wrong with it."""

_FIELD: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")
_WILD: Final = re.compile(r"^!|[*?\[]")
_STYLES: Final = {
    "percent": lambda value: f"{100 * value:.3g} %",
    "seconds": lambda value: f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms",
    "number": lambda value: f"{value:,.0f}" if 1_000 <= abs(value) < 1e15 else f"{value:.4g}",
    "duration": spoken,
}
_WORDS: Final = frozenset({"value", "threshold", "baseline", "matching", "silent", "rule", "severity"})
_NOTES: Final = frozenset({"why", "change", "trouble", "not_ready"})


def matches(match: Match, labels: Mapping[str, str]) -> bool:
    """Return whether every pattern fits; only an empty one fits a label that is not there.

    Examples
    --------
    >>> matches({"model": "fl*"}, {"model": "flights"}), matches({"team": "ml"}, {})
    (True, False)
    >>> matches({"modle": "*"}, {"model": "flights"}), matches({"team": ""}, {"model": "flights"})
    (False, True)
    >>> matches({"service": "!inference"}, {"service": "drift"})
    True
    """
    return all(_fits(pattern, labels.get(name)) for name, pattern in match.items())


def _fits(pattern: str, value: str | None) -> bool:
    if value is None:
        return not pattern
    if pattern.startswith("!"):
        return not fnmatchcase(value, pattern[1:])
    return fnmatchcase(value, pattern)


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Return a summary with its ``{names}`` filled in; what is not known becomes ``?``.

    Examples
    --------
    >>> fill("{value:percent} of {model}", {"value": 0.0213, "model": "flights"})
    '2.13 % of flights'
    >>> fill("{a}, {b}, {c}", {"a": 48211, "b": 0.25, "c": 7})
    '48,211, 0.25, 7'
    """

    def text(found: re.Match[str]) -> str:
        value, style = values.get(found[1]), found[2]
        if value is None:
            return "?"
        if isinstance(value, float | int) and not isinstance(value, bool):
            return _STYLES[style or "number"](float(value))
        return str(value)

    return _FIELD.sub(text, template)


@dataclass(frozen=True, slots=True)
class Condition:
    """A rule that can be applied.

    Attributes
    ----------
    hold, keep_firing, absent, rate_over, tell_again
        In milliseconds; the last three None where the rule has none.
    group_by
        Labels that one alert is for.
    expected
        Of an absence whose ``where`` names somebody outright: the group that must be heard of, even if it
        never was.
    """

    rule: Rule
    vocabulary: Vocabulary
    formula: Expression | None
    hold: int
    keep_firing: int
    absent: int | None
    rate_over: int | None
    tell_again: int | None
    group_by: tuple[str, ...]
    summary: str
    expected: Labels | None = None

    @property
    def name(self) -> str:
        """Name of the rule."""
        return self.rule.name

    @property
    def threshold(self) -> float | None:
        """The figure's limit."""
        return self.rule.above if self.rule.above is not None else self.rule.below

    def group_of(self, labels: Labels) -> Labels:
        """Return what an alert for this thing has in common with the others of its group."""
        known = dict(labels)
        return tuple((name, known[name]) for name in sorted(self.group_by))

    def breached(self, value: float) -> bool:
        """Return whether a figure is beyond the threshold."""
        above, below = self.rule.above, self.rule.below
        return (above is not None and value > above) or (below is not None and value < below)


def default_group(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return what an alert is for where its rule does not say."""
    return tuple(name for name in vocabulary.labels if name in ("model", "service"))


def compile_rule(rule: Rule) -> tuple[Condition | None, list[Problem]]:
    """Return a rule made ready, or everything that is wrong with it, key by key."""
    if rule.reports is None:
        return None, [("reports", f"is required: one of {', '.join(VOCABULARIES)}")]
    vocabulary = VOCABULARIES[rule.reports]
    problems = [*_contradictions(rule, vocabulary), *_unknown_names(rule, vocabulary)]
    formula = None
    if rule.figure:
        try:
            formula = compile_expression(rule.figure, vocabulary.figures)
        except ValueError as error:
            problems.append(("figure", str(error)))
    if problems:
        return None, problems
    group_by = default_group(vocabulary) if rule.group_by is None else rule.group_by
    return (
        Condition(
            rule,
            vocabulary,
            formula,
            hold=milliseconds(rule.for_),
            keep_firing=milliseconds(rule.keep_firing),
            absent=milliseconds(rule.absent) if rule.absent else None,
            rate_over=milliseconds(rule.rate_over) if rule.rate_over else None,
            tell_again=milliseconds(rule.tell_again) if rule.tell_again else None,
            group_by=group_by,
            summary=rule.summary or _default_summary(rule),
            expected=_expected(rule, group_by),
        ),
        [],
    )


def _expected(rule: Rule, group_by: tuple[str, ...]) -> Labels | None:
    named = rule.absent is not None and rule.where and set(group_by) <= rule.where.keys()
    if not named or any(_WILD.search(pattern) for pattern in rule.where.values()):
        return None
    return tuple((name, rule.where[name]) for name in sorted(group_by))


def _contradictions(rule: Rule, vocabulary: Vocabulary) -> Iterator[Problem]:
    given = [key for key in ("above", "below", "absent") if getattr(rule, key) is not None]
    if len(given) != 1:
        many = " and ".join(given) if given else "none"
        yield (
            given[-1] if given else "above",
            f"exactly one of above, below, absent is needed, and there is {many}",
        )
    for key in ("above", "below"):
        if not isfinite(getattr(rule, key) or 0.0):
            yield key, "must be a finite number: nothing is ever beyond this one"
    if rule.absent is None and not rule.figure:
        yield "figure", f"is required: of {vocabulary.kind} reports there are {', '.join(vocabulary.figures)}"
    if rule.absent is not None:
        for key in ("figure", "rate_over", "relative_to", "min_count"):
            if getattr(rule, key):
                yield key, "has no meaning with absent"
        if milliseconds(rule.absent) < 1_000:
            yield "absent", "is shorter than a second"
    if rule.rate_over and rule.relative_to:
        yield "relative_to", "cannot be combined with rate_over"
    if rule.rate_over and vocabulary.kind not in ("service", "topic"):
        yield "rate_over", "is for figures that count since a process began: reports: service or topic"
    if rule.relative_to and vocabulary.kind in ("service", "topic"):
        yield "relative_to", "is for reports that have windows, and a service's have none"
    if rule.min_count and not (rule.count or vocabulary.count):
        yield "min_count", f"{vocabulary.kind} reports have no usual count: name the figure with count"


def _unknown_names(rule: Rule, vocabulary: Vocabulary) -> Iterator[Problem]:
    known = ", ".join(vocabulary.labels)
    for name in rule.where:
        if name not in vocabulary.labels:
            yield f"where.{name}", f"{vocabulary.kind} reports have no such label; they have {known}"
    for name in rule.group_by or ():
        if name not in vocabulary.labels:
            yield "group_by", f"{name}: {vocabulary.kind} reports have no such label; they have {known}"
    if rule.count and rule.count not in vocabulary.figures:
        yield "count", f"there is no figure {rule.count!r} here; there are {', '.join(vocabulary.figures)}"
    allowed = _WORDS | _NOTES | set(vocabulary.labels) | vocabulary.figures.keys() | rule.labels.keys()
    for name, style in _FIELD.findall(rule.summary):
        if name not in allowed:
            yield "summary", f"{{{name}}} is not known here; there are {', '.join(sorted(allowed))}"
        if style and style not in _STYLES:
            yield "summary", f"{{{name}:{style}}}: the styles are {', '.join(_STYLES)}"


def _default_summary(rule: Rule) -> str:
    if rule.absent is not None:
        return f"nothing has been heard for {{silent:duration}} ({rule.reports})"
    side = "above" if rule.above is not None else "below"
    return f"{rule.figure} is {{value}}, {side} {{threshold}}"
