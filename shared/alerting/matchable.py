"""What alerts can be matched by: a pattern for a label that none has would match nothing, unsaid."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, get_args

from shared.alerting.conditions import default_group, matches
from shared.alerting.readers import VOCABULARIES
from shared.alerting.rules import Match, Rule
from shared.messages.alerts import Severity
from shared.settings.spelling import did_you_mean

ALWAYS: Final = ("rule", "severity", "subject", "model", "model_version")
"""Labels of every alert, as far as it is about a model."""


class Matchable:
    """The labels that alerts can have.

    Parameters
    ----------
    rules
        Every rule there is, also those that are switched off.
    labels
        Other labels that are known of.

    Examples
    --------
    >>> known = Matchable([Rule(name="lag", reports="topic", labels={"team": "ml"})])
    >>> [(name, problem[-18:]) for name, problem in known.problems({"tem": "ml", "rule": "l*"})]
    [('tem', 'did you mean team?')]
    >>> list(known.problems({"rule": "lagg"}))
    [('rule', "'lagg' fits none of lag; did you mean lag?")]
    """

    def __init__(self, rules: Iterable[Rule], labels: Collection[str] = ()) -> None:
        known = [rule for rule in rules if rule.reports is not None]
        groups = {
            name
            for rule in known
            for name in (
                default_group(VOCABULARIES[str(rule.reports)]) if rule.group_by is None else rule.group_by
            )
        }
        self.labels = {*ALWAYS, *groups, *labels, *(name for rule in known for name in rule.labels)}
        self._values: Mapping[str, Collection[str]] = {
            "rule": sorted({rule.name for rule in known}),
            "severity": get_args(Severity),
        }

    def problems(self, match: Match) -> Iterator[tuple[str, str]]:
        """Yield each label of a match that no alert has, or whose pattern fits none of its values."""
        for name, pattern in match.items():
            if (problem := self.unknown(name)) is not None:
                yield name, problem
            values = self._values.get(name, ())
            if values and not any(matches({name: pattern}, {name: value}) for value in values):
                yield name, f"{pattern!r} fits none of {', '.join(values)}{did_you_mean(pattern, values)}"

    def unknown(self, name: str) -> str | None:
        """Return what is wrong with the name of a label, ``None`` where nothing is."""
        if name in self.labels:
            return None
        known = sorted(self.labels)
        return f"no alert has such a label; there are {', '.join(known)}{did_you_mean(name, known)}"
