"""Logs: one JSON object per line on stderr, Driftline's own and its libraries' alike.

``log = get_logger(__name__)`` and ``log.info("partition opened", topic="events", partition=3)``;
the standard ``logging`` with ``extra={...}`` ends in the same line. Keys: ``ts`` (RFC 3339, UTC,
milliseconds), ``level``, ``service``, ``logger``, ``event``, ``trace_id`` and ``span_id`` where known,
then the fields, then ``error`` and ``traceback``. What looks like a secret never gets out.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import numpy as np
import orjson
from pydantic import SecretStr

from shared.tracing import current_trace

HIDDEN: Final = "**********"

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "fields", "taskName"}
_RESERVED: Final = frozenset({"ts", "level", "service", "logger", "event"})
_SECRET_KEY: Final = re.compile(r"passw|secret|token|api_?key|credential|private_?key", re.IGNORECASE)
_URL_PASSWORD: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@]*:[^\s/]*@", re.IGNORECASE)
_SHORTEST_SECRET: Final = 4
_LARGEST: Final = (1 << 63) - 1
_LIBRARIES: Final = ("aiokafka", "aiohttp", "asyncio", "faust", "mode")

_secrets: set[str] = set()


class EventLogger:
    """A logger whose fields are keyword arguments; see :func:`get_logger`."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: str, **fields: Any) -> None:
        """Log what only a developer wants to know."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log something that happened as it should."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log something that went wrong and is being dealt with."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log something that went wrong and needs a person, or the end of the process."""
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Log an error together with the traceback of the exception being handled."""
        self._log(logging.ERROR, event, fields, exc_info=True)

    def _log(self, level: int, event: str, fields: dict[str, Any], *, exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            # "fields" as one attribute, so that a field called "name" or "args" does no harm
            self._logger.log(level, event, extra={"fields": fields}, exc_info=exc_info, stacklevel=3)


def get_logger(name: str) -> EventLogger:
    """Return the logger of a module: ``log = get_logger(__name__)``."""
    return EventLogger(logging.getLogger(name))


class RateLimit:
    """Lets the first of many equal log lines pass, then one per interval.

    Parameters
    ----------
    seconds
        Length of the interval.
    clock
        Monotonic seconds.

    Examples
    --------
    >>> now = [0.0]
    >>> limit = RateLimit(10, clock=lambda: now[0])
    >>> limit.admit("redis"), limit.admit("redis"), limit.admit("kafka")
    (0, None, 0)
    >>> now[0] = 10.0
    >>> limit.admit("redis")
    1
    """

    _MOST_KEYS = 1_000

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def admit(self, key: str = "") -> int | None:
        """Return how many lines were held back since the last one, ``None`` to hold this one back."""
        now = self._clock()
        last, held = self._seen.get(key, (None, 0))
        if last is not None and now - last < self._seconds:
            self._seen[key] = (last, held + 1)
            return None
        if len(self._seen) >= self._MOST_KEYS:
            self._seen.clear()  # too many different keys to be worth telling apart
        self._seen[key] = (now, 0)
        return held


def hide(secrets: Iterable[str | SecretStr]) -> None:
    """Replace these values in every line from now on, wherever they turn up."""
    for secret in secrets:
        text = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
        if len(text) >= _SHORTEST_SECRET:
            _secrets.add(text)


def redact(text: str) -> str:
    """Return ``text`` without the secrets given to :func:`hide` and without passwords in URLs.

    Examples
    --------
    >>> redact("no answer from redis://default:hunter2@cache:6379/0")
    'no answer from redis://**********@cache:6379/0'
    """
    for secret in sorted(_secrets, key=len, reverse=True):  # one may be a part of another, and leave its rest
        text = text.replace(secret, HIDDEN)
    text = _URL_PASSWORD.sub(rf"\g<1>{HIDDEN}@", text)
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate is no JSON


class JsonFormatter(logging.Formatter):
    """One JSON object per record.

    Parameters
    ----------
    service
        Value of the ``service`` key.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its newline."""
        line: dict[str, Any] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "service": self._service,
        }
        line |= {"logger": record.name, "event": redact(record.getMessage())} | fields_of(record)
        if record.exc_info and record.exc_info[0] is not None:
            line.setdefault("error", redact(f"{record.exc_info[0].__name__}: {record.exc_info[1]}"))
            line["traceback"] = redact(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = redact(record.stack_info)
        return orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS).decode()


class ConsoleFormatter(logging.Formatter):
    """For people: time, level, event, then ``key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback below it."""
        fields = " ".join(f"{key}={_bare(value)}" for key, value in fields_of(record).items())
        text = f"{_timestamp(record)[11:-1]} {record.levelname.lower():<7} {redact(record.getMessage())}"
        if fields:
            text += f"  {fields}"
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + redact(self.formatException(record.exc_info))
        return text


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a record, trace ids first, ready for JSON and without secrets."""
    fields: dict[str, Any] = {}
    trace = current_trace.get()
    if trace is not None:
        fields |= {"trace_id": trace.trace_id, "span_id": trace.span_id}
    given = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    given |= getattr(record, "fields", {})
    for key, value in given.items():
        name = f"{key}_" if key in _RESERVED else key
        fields[name] = HIDDEN if _SECRET_KEY.search(key) else _plain(value)
    return fields


def configure_logging(
    service: str,
    *,
    level: str = "INFO",
    style: Literal["json", "console"] = "json",
    stream: TextIO | None = None,
) -> None:
    """Send every log line of this process, libraries included, to one handler.

    Parameters
    ----------
    service
        Value of the ``service`` key.
    level
        Lowest level to write; libraries stay at WARNING unless it is DEBUG.
    style
        ``json`` for machines, ``console`` for people.
    stream
        Where to; stderr by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service) if style == "json" else ConsoleFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel("DEBUG" if level == "DEBUG" else max(logging.WARNING, root.level))
    logging.captureWarnings(True)


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -_LARGEST <= value <= _LARGEST else str(value)
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "backslashreplace"))
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if _SECRET_KEY.search(str(key)) else _plain(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return redact(str(value))


def _bare(value: Any) -> str:
    return value if isinstance(value, str) and " " not in value else orjson.dumps(value).decode()
