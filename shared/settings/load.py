"""Reading settings from their sources and saying, all at once, what is wrong with them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic_settings import EnvSettingsSource

from shared.address import masked, secrets_in
from shared.errors import ConfigError
from shared.logs import hide
from shared.settings.flags import flag_of, read_flags
from shared.settings.service import ENV_PREFIX, SERVICES, ServiceSettings, is_secret
from shared.settings.spelling import did_you_mean

S = TypeVar("S", bound=ServiceSettings)

_FILE_SUFFIX: Final = "_file"
_CONFIG: Final = f"{ENV_PREFIX}CONFIG"
_NOT_SETTINGS: Final = frozenset(
    f"{ENV_PREFIX}{name}" for name in ("CONFIG", "CACHE", "MAVEN_URL", "CRASH_POINT")
)
"""Variables with our prefix that configure something else: the development stack, fault tests."""


@dataclass
class _Source:
    """One place that settings come from.

    Attributes
    ----------
    spell
        How this source writes a key.
    values
        What it gave, by key.
    """

    kind: str
    values: dict[str, Any] = field(default_factory=dict)

    def spell(self, key: str) -> str:
        match self.kind:
            case "flag":
                return flag_of(key)
            case "environment":
                return ENV_PREFIX + key.upper()
            case _:
                return f"{key} in {self.kind}"


def load_settings(
    cls: type[S], argv: Sequence[str] | None = None, *, overrides: Mapping[str, Any] | None = None
) -> S:
    """Return the settings of a service, or say everything that is wrong with them.

    From strongest to weakest: ``overrides``, flags (``--http-port 0``), environment
    (``DRIFTLINE_HTTP_PORT=0``), the TOML file that ``--config`` or ``DRIFTLINE_CONFIG`` names (its top
    level, and over that the table with the service's name), defaults. A secret may lie in a file of
    its own: ``DRIFTLINE_KAFKA_SASL_PASSWORD_FILE=/run/secrets/kafka``.

    Parameters
    ----------
    cls
        The service's settings class.
    argv
        Arguments after the program's name; ``None`` for none. ``--help`` prints and exits.
    overrides
        Values by key from a caller that parses its own command line; ``None`` values are left out.

    Raises
    ------
    ConfigError
        With one sentence per bad key; no secret is ever part of one.
    """
    problems: list[str] = []
    flags = _Source("flag", read_flags(cls, argv or (), problems))
    path = flags.values.pop("config", None) or os.environ.get(_CONFIG)
    environment = _Source("environment", dict(EnvSettingsSource(cls)()))
    environment.values |= _secret_file_variables(cls)
    sources = [
        _Source("command line", {k: v for k, v in (overrides or {}).items() if v is not None}),
        flags,
        environment,
        _Source(path or "file", _read_file(cls, path, problems) if path else {}),
    ]
    if cls.strict_environment:
        problems += _unknown_variables(cls)
    bad = {key for source in sources for key in _open_secret_files(cls, source, problems)}
    merged: dict[str, Any] = {}
    for source in reversed(sources):
        merged |= source.values
    settings = _validate(cls, merged, sources, problems, bad)
    hide(_passwords(settings))
    return settings


def secret_fields(cls: type[ServiceSettings]) -> list[str]:
    """Return the names of the settings that are secret."""
    return [name for name, info in cls.model_fields.items() if is_secret(info)]


def _known(cls: type[ServiceSettings]) -> list[str]:
    return [*cls.model_fields, *(name + _FILE_SUFFIX for name in secret_fields(cls))]


def _secret_file_variables(cls: type[ServiceSettings]) -> dict[str, str]:
    keys = (name + _FILE_SUFFIX for name in secret_fields(cls))
    return {key: path for key in keys if (path := os.environ.get(ENV_PREFIX + key.upper()))}


def _unknown_variables(cls: type[ServiceSettings]) -> Iterator[str]:
    known = {ENV_PREFIX + key.upper() for key in _known(cls)}
    for name in sorted(os.environ):
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known | _NOT_SETTINGS:
            yield f"{name}: there is no such setting{did_you_mean(name.upper(), known)}"


def _read_file(cls: type[ServiceSettings], path: str, problems: list[str]) -> dict[str, Any]:
    """Return the file's keys: the top level, and over it the table of this service."""
    try:
        content: dict[str, Any] = tomllib.loads(Path(path).expanduser().read_text("utf-8"))
    except OSError as error:
        problems.append(f"{_CONFIG}: cannot read {path}: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{_CONFIG}: {path} is not TOML: {error}")
        return {}
    tables = {key: content.pop(key) for key in SERVICES if isinstance(content.get(key), dict)}
    values: dict[str, Any] = content | tables.get(cls.service, {})
    known = _known(cls)
    for key in [key for key in values if key not in known]:
        if cls.strict_environment:
            problems.append(f"{key} in {path}: there is no such setting{did_you_mean(key, known)}")
        del values[key]
    return values


def _open_secret_files(cls: type[ServiceSettings], source: _Source, problems: list[str]) -> Iterator[str]:
    """Replace ``x_file`` by ``x``, the content of the file without its last newline; yield what fails."""
    for name in secret_fields(cls):
        key = name + _FILE_SUFFIX
        if key not in source.values:
            continue
        path = source.values.pop(key)
        if name in source.values:
            problems.append(f"{source.spell(key)}: {source.spell(name)} is set as well; set one of them")
            yield name
            continue
        try:
            source.values[name] = Path(str(path)).expanduser().read_text("utf-8").rstrip("\r\n")
        except OSError as error:
            problems.append(f"{source.spell(key)}: cannot read {path}: {error.strerror}")
            yield name
        except UnicodeDecodeError:
            problems.append(f"{source.spell(key)}: {path} is not UTF-8 text")
            yield name


def _validate(
    cls: type[S], merged: dict[str, Any], sources: list[_Source], problems: list[str], bad: set[str]
) -> S:
    """Return the settings, or raise with ``problems`` and what is wrong with the values."""
    settings: S | None = None
    try:
        settings = cls(**merged)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            key = str(found["loc"][0])
            bad.add(key)
            problems.append(_sentence(cls, key, found, merged, sources))
    checked = settings if settings is not None else _without(cls, merged, bad)
    for keys, sentence in checked.contradictions():
        if bad.isdisjoint(keys):
            problems.append(f"{_where(keys[0], sources)}: {sentence}")
    if problems or settings is None:
        raise ConfigError(list(dict.fromkeys(problems)))
    return settings


def _without(cls: type[S], merged: dict[str, Any], bad: set[str]) -> S:
    """Return settings of the good values, the bad ones replaced, for the checks between keys."""
    values: dict[str, Any] = {key: None for key in bad if cls.model_fields[key].is_required()}
    for key in merged.keys() - bad:
        info = cls.model_fields[key]
        constrained: Any = Annotated[info.annotation, info]
        values[key] = TypeAdapter(constrained).validate_python(merged[key])
    return cls.model_construct(**values)


def _sentence(
    cls: type[ServiceSettings], key: str, found: Any, merged: dict[str, Any], sources: list[_Source]
) -> str:
    if found["type"] == "missing":
        return f"{ENV_PREFIX}{key.upper()}: is required (or {flag_of(key)}, or {key} in the file)"
    message = str(found["ctx"]["error"]) if found["type"] == "value_error" else found["msg"]
    message = message[:1].lower() + message[1:]
    item = "".join(f"[{part}]" for part in found["loc"][1:] if isinstance(part, int))
    value = merged.get(key)
    shown = masked(value) if isinstance(value, str) else value
    given = "" if key in secret_fields(cls) else f", not {shown!r}"
    if found["type"] == "value_error":
        given = ""  # our own validators quote what they refuse
    return f"{_where(key, sources)}{item}: {message}{given}"


def _where(key: str, sources: list[_Source]) -> str:
    """Return the key as its strongest source spells it; as a variable where none gave it."""
    for source in sources:
        if key in source.values:
            return key if source.kind == "command line" else source.spell(key)
    return ENV_PREFIX + key.upper()


def _passwords(settings: ServiceSettings) -> Iterator[str]:
    """Yield what must never be logged: of an address only its password and the like."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            yield from secrets_in(text) if "://" in text else [text]
        elif isinstance(value, str) and "://" in value:
            yield from secrets_in(value)
