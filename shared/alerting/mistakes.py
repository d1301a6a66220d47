"""What msgspec finds wrong with an entry of the rules file, as a person would say it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, get_args, get_type_hints

import msgspec

from shared.alerting.durations import PATTERN as DURATION
from shared.alerting.rules import NAME
from shared.alerting.yaml_lines import Path
from shared.settings.spelling import did_you_mean

_PATTERNS: Final = {
    DURATION: "must be a duration such as 30s, 5m, 2h or 1d",
    NAME: "must be small letters, digits, - and _, a letter or digit first",
    r"^https?://": "must begin with http:// or https://",
}
_TYPES: Final = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "object": "keys with values",
    "array": "a list",
    "null": "nothing",
}


def mistakes(entry: Any, of: type[msgspec.Struct]) -> Iterator[tuple[Path, str]]:
    """Yield every key of an entry that is wrong, with a sentence; nothing where the entry is right.

    msgspec stops at the first: what it names is left out, and the rest looked at again.
    """
    left = dict(entry) if isinstance(entry, dict) else entry
    while True:
        try:
            msgspec.convert(left, of)
        except msgspec.ValidationError as error:
            at, problem = explain(str(error), of, left)
            if at or left == entry:  # else what is required was left out by us
                yield at, problem
            if not at or not isinstance(left, dict) or left.pop(str(at[0]), None) is None:
                return
            if at[0] == "name":
                left["name"] = "x"  # it is required, and has had its sentence
        else:
            return


def explain(message: str, of: type[msgspec.Struct], entry: Any) -> tuple[Path, str]:
    """Return the place of a mistake within an entry, and a sentence about it.

    Examples
    --------
    >>> from shared.alerting.rules import Rule
    >>> explain("Expected `float | null`, got `str` - at `$.above`", Rule, {"above": "1"})
    (('above',), "must be a number, not '1'")
    >>> explain("Invalid enum value 'dirft' - at `$.reports`", Rule, {"reports": "dirft"})[1][:60]
    "'dirft' is none of inference, service, topic, drift, shadow,"
    """
    text, _, path = message.partition(" - at `$")
    at: list[str | int] = []
    for name, number in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", path.rstrip("`")):
        at += [name] if name else [int(number)] if number.isdigit() else []
    if unknown := re.search(r"unknown field `(\w+)`", text):
        known = [field.encode_name for field in msgspec.structs.fields(of)]
        return (*at, unknown[1]), f"there is no such key{did_you_mean(unknown[1], known)}"
    if missing := re.search(r"missing required field `(\w+)`", text):
        return (*at,), f"{missing[1]} is required"
    return (*at,), _sentence(text, of, at, _value(entry, at))


def _sentence(text: str, of: type[msgspec.Struct], at: list[str | int], value: Any) -> str:
    if text.startswith("Invalid enum value"):
        choices = _choices(of, at)
        return f"{value!r} is none of {', '.join(choices)}{did_you_mean(str(value), choices)}"
    if pattern := re.search(r"matching regex '(.*)'", text):
        known_as = _PATTERNS.get(pattern[1].replace("\\\\", "\\"), text)  # msgspec prints it with escapes
        return f"{known_as}, not {value!r}"
    if bound := re.search(r"of length (>=|<=) (\d+)|(>=|<=) ([\d.]+)", text):
        if bound[1]:
            return "must not be empty" if bound[1] == ">=" else f"must be at most {bound[2]} long"
        return f"must be at {'least' if bound[3] == '>=' else 'most'} {bound[4]}, not {value!r}"
    if expected := re.match(r"Expected `([\w| ]+)`, got", text):
        names = [_TYPES.get(name, name) for name in expected[1].split(" | ") if name != "null"]
        if isinstance(value, dict | list) and value and _TYPES["object"] not in names:
            return f"must hold {' or '.join(names)} everywhere"  # msgspec does not say where in it
        return f"must be {' or '.join(names)}, not {_spoken(value)}"
    return text[:1].lower() + text[1:]


def _choices(of: type[msgspec.Struct], at: list[str | int]) -> list[str]:
    hint = get_type_hints(of).get(str(at[0])) if at else None
    inner = [hint, *get_args(hint)]
    return [choice for one in inner for choice in get_args(one) if isinstance(choice, str)]


def _value(entry: Any, at: list[str | int]) -> Any:
    for step in at:
        try:
            entry = entry[step]
        except (KeyError, IndexError, TypeError):
            return None
    return entry


def _spoken(value: Any) -> str:
    if value is None:
        return "nothing"
    return (
        "a list"
        if isinstance(value, list)
        else "keys with values"
        if isinstance(value, dict)
        else repr(value)
    )
