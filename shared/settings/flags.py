"""Command line flags made from a settings class: ``http_port`` is ``--http-port``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Never, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from shared.settings.service import ENV_PREFIX, ServiceSettings, is_secret
from shared.settings.spelling import did_you_mean


class _Parser(argparse.ArgumentParser):
    """An argument parser that leaves it to us to report what is wrong."""

    def error(self, message: str) -> Never:
        raise argparse.ArgumentError(None, message)


def flag_of(key: str) -> str:
    """Return the flag of a setting.

    Examples
    --------
    >>> flag_of("http_port")
    '--http-port'
    """
    return "--" + key.replace("_", "-")


def read_flags(cls: type[ServiceSettings], argv: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """Return the values given as flags, by key; add what is wrong with the flags to ``problems``."""
    parser = _parser(cls)
    try:
        values, rest = parser.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        problems.append(str(error).removeprefix("argument "))
        return {}
    known = list(parser._option_string_actions)
    for position, word in enumerate(rest):
        if word.startswith("-"):
            flag = word.partition("=")[0]
            problems.append(f"{flag}: there is no such flag{did_you_mean(flag, known)}")
        elif position == 0 or not rest[position - 1].startswith("-"):
            problems.append(f"{word!r}: unexpected argument; settings are given as flags")
    return vars(values)


def _parser(cls: type[ServiceSettings]) -> _Parser:
    parser = _Parser(
        prog=f"driftline run {cls.service}" if cls.service else None,
        description=(cls.__doc__ or "").partition("\n")[0].strip(),
        epilog="Strongest first: flags, environment, the file, defaults. "
        "A secret may lie in a file of its own: the same name with -file (or _FILE).",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"TOML file with settings (environment: {ENV_PREFIX}CONFIG)"
    )
    for key, info in cls.model_fields.items():
        extra = info.json_schema_extra
        if not (isinstance(extra, dict) and extra.get("no_flag")):
            parser.add_argument(flag_of(key), metavar="VALUE", help=_help(key, info))
        if is_secret(info):
            parser.add_argument(
                flag_of(key + "_file"), metavar="FILE", help=f"File that holds {key} and nothing else"
            )
    return parser


def _help(key: str, info: FieldInfo) -> str:
    text = info.description or ""
    if choices := choices_of(info):
        text += f": {', '.join(choices)}"
    default = "required" if info.is_required() else f"default: {default_text(info)}"
    return f"{text} ({ENV_PREFIX}{key.upper()}; {default})".replace("%", "%%")


def choices_of(info: FieldInfo) -> tuple[str, ...]:
    """Return the words that a setting may be, empty where it is free."""
    return get_args(info.annotation) if get_origin(info.annotation) is Literal else ()


def default_text(info: FieldInfo) -> str:
    """Return a setting's default for people."""
    default = info.default
    if info.default_factory is not None:
        return "see there"
    if default is None or default in ("", ()):
        return "none"
    if isinstance(default, SecretStr):
        return default.get_secret_value()  # a default is in this source file, so it is no secret
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return str(default) if not isinstance(default, Path) else default.as_posix()
