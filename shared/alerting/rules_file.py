"""Reading a rules file: every mistake at once, each with its line and key."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from shared.alerting.conditions import Condition, compile_rule
from shared.alerting.matchable import Matchable
from shared.alerting.mistakes import mistakes
from shared.alerting.receivers import check_receiver
from shared.alerting.rules import Inhibition, Receiver, Rule, RulesFile
from shared.alerting.yaml_lines import Document
from shared.alerting.yaml_lines import Path as Place
from shared.errors import ConfigError
from shared.settings.spelling import did_you_mean

T = TypeVar("T", bound=msgspec.Struct)

DEFAULTS = "defaults.yml"


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What alerting applies: rules ready to use, inhibitions and receivers."""

    conditions: tuple[Condition, ...]
    inhibitions: tuple[Inhibition, ...] = ()
    receivers: tuple[Receiver, ...] = ()


def load_rules(path: Path | None = None) -> Rulebook:
    """Return the rules of a file over the built-in ones, or the built-in ones alone.

    Raises
    ------
    ConfigError
        The file cannot be read, or everything that is wrong with it, each with line and key.
    """
    if path is None:
        return parse_rules("", "no file")
    try:
        text = path.expanduser().read_text("utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from error
    return parse_rules(text, str(path))


def default_text() -> str:
    """Return the built-in rules as they are written."""
    return files("shared.alerting").joinpath(DEFAULTS).read_text("utf-8")


def parse_rules(text: str, name: str) -> Rulebook:
    """Return the rules in a text; see :func:`load_rules`."""
    document = Document(text, name)
    problems: list[str] = []
    content = document.content
    if not isinstance(content, dict):
        raise ConfigError([f"{name}:1: must hold keys such as rules and receivers"])
    _refuse_unknown(document, content, problems)
    before = len(problems)
    rules = _section(document, "rules", Rule, problems)
    all_read = len(problems) == before
    inhibitions = _section(document, "inhibit", Inhibition, problems)
    receivers = _section(document, "receivers", Receiver, problems)
    for place, receiver in receivers:
        for key, problem in check_receiver(receiver):
            problems.append(f"{document.where((*place, key))}: {problem}")
    if all_read:  # else there may be labels that cannot be read yet
        matchable = Matchable([*_built_in().rules, *(rule for _, rule in rules)])
        _refuse_unmatchable(document, matchable, inhibitions, receivers, problems)
    _refuse_twins(document, [*rules], "rules", problems)
    _refuse_twins(document, [*receivers], "receivers", problems)
    defaults = _built_in() if content.get("defaults", True) is True else RulesFile()
    built_in = {rule.name: rule for rule in defaults.rules}
    conditions = _compiled(document, rules, built_in, problems)
    if problems:
        raise ConfigError(problems)
    mutes = (*defaults.inhibit, *(one for _, one in inhibitions))
    return Rulebook(conditions, mutes, tuple(one for _, one in receivers))


def _built_in() -> RulesFile:
    return msgspec.convert(Document(default_text(), DEFAULTS).content, RulesFile)


def _compiled(
    document: Document, rules: list[tuple[Place, Rule]], built_in: dict[str, Rule], problems: list[str]
) -> tuple[Condition, ...]:
    chosen: dict[str, tuple[Place | None, Rule]] = {name: (None, rule) for name, rule in built_in.items()}
    for place, rule in rules:
        if not rule.enabled and rule.reports is None and rule.name not in built_in:
            problems.append(
                f"{document.where((*place, 'name'))}: there is no built-in rule {rule.name}"
                + did_you_mean(rule.name, built_in)
            )
        chosen[rule.name] = (place, rule)
    conditions = []
    for place_or_none, rule in chosen.values():
        if not rule.enabled:
            continue
        condition, wrong = compile_rule(rule)
        if condition is not None:
            conditions.append(condition)
        for key, problem in wrong:
            place = (*(place_or_none or ()), *key.split("."))
            problems.append(f"{document.where(place)}: {problem}")
    return tuple(conditions)


def _refuse_unknown(document: Document, content: dict[str, Any], problems: list[str]) -> None:
    known = RulesFile.__struct_fields__
    for key in content.keys() - set(known):
        problems.append(f"{document.where((key,))}: there is no such key{did_you_mean(key, known)}")
    if not isinstance(content.get("defaults", True), bool):
        problems.append(f"{document.where(('defaults',))}: must be true or false")


def _refuse_unmatchable(
    document: Document,
    matchable: Matchable,
    inhibitions: list[tuple[Place, Inhibition]],
    receivers: list[tuple[Place, Receiver]],
    problems: list[str],
) -> None:
    """Refuse patterns that fit no alert: who is behind one would hear nothing, and nobody would know."""
    matches = [((*place, "match"), receiver.match) for place, receiver in receivers]
    for place, inhibition in inhibitions:
        matches += [((*place, "when"), inhibition.when), ((*place, "mute"), inhibition.mute)]
        for number, name in enumerate(inhibition.equal):
            if problem := matchable.unknown(name):
                problems.append(f"{document.where((*place, 'equal', number))}: {name}: {problem}")
    for at, match in matches:
        for name, problem in matchable.problems(match):
            problems.append(f"{document.where((*at, name))}: {problem}")


def _section(document: Document, key: str, of: type[T], problems: list[str]) -> list[tuple[Place, T]]:
    """Return the entries of one list, each with its place; what is wrong goes to ``problems``."""
    entries = document.content.get(key) or []
    if not isinstance(entries, list):
        problems.append(f"{document.where((key,))}: must be a list")
        return []
    found = []
    for number, entry in enumerate(entries):
        place: Place = (key, number)
        wrong = [f"{document.where((*place, *at))}: {problem}" for at, problem in mistakes(entry, of)]
        problems += wrong
        if not wrong:
            found.append((place, msgspec.convert(entry, of)))
    return found


def _refuse_twins(
    document: Document, entries: list[tuple[Place, Any]], key: str, problems: list[str]
) -> None:
    seen: set[str] = set()
    for place, entry in entries:
        if entry.name in seen:
            problems.append(f"{document.where((*place, 'name'))}: {entry.name} is there twice in {key}")
        seen.add(entry.name)


def by_name(conditions: tuple[Condition, ...]) -> dict[str, Condition]:
    """Return conditions by the names of their rules."""
    return {condition.name: condition for condition in conditions}
