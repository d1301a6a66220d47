"""Dead letters for people and for programs: rows of a table, JSON, one letter in full."""

from __future__ import annotations

import base64
from typing import Any

import click
import msgspec

from services.cli.letters import Letter
from services.cli.printing import moment, safe
from shared.dead_letters import HEADERS


def as_row(letter: Letter, replayed: bool) -> list[str]:
    """Return the cells of one letter in the table."""
    place, when = f"{letter.partition}:{letter.offset}", moment(letter.timestamp)
    reason = letter.reason
    why = ["?", "?", "", "not written by Driftline"]
    if reason is not None:
        why = [safe(text) for text in (reason.service, reason.error, reason.field or "", reason.message)]
    return [place, when, *why, "yes" if replayed else ""]


def as_json(letter: Letter, replayed: bool) -> dict[str, Any]:
    """Return place and reason, for a program."""
    reason = None if letter.reason is None else msgspec.structs.asdict(letter.reason)
    found = {"partition": letter.partition, "offset": letter.offset, "written_at": letter.timestamp}
    return found | {"sent_again": replayed, "reason": reason}


def _text_or_base64(name: str, data: bytes | None) -> dict[str, Any]:
    try:
        return {name: None if data is None else data.decode()}
    except UnicodeDecodeError:
        assert data is not None
        return {f"{name}_base64": base64.b64encode(data).decode()}


def bytes_as_json(letter: Letter) -> dict[str, Any]:
    """Return key, value and headers: text, or base 64 under another name where they are none."""
    headers = [{"name": name} | _text_or_base64("value", value) for name, value in letter.headers]
    return {"headers": headers} | _text_or_base64("key", letter.key) | _text_or_base64("value", letter.value)


def print_letter(letter: Letter, replayed: bool, limit: int | None) -> None:
    """Print one letter in full; of its value at most ``limit`` bytes."""
    reason = letter.reason
    lines = [("letter", f"{letter.topic}[{letter.partition}] offset {letter.offset}")]
    lines += [("written", moment(letter.timestamp)), ("sent again", "yes" if replayed else "no")]
    if reason is not None:
        source = f"{reason.topic}[{reason.partition}] offset {reason.offset}"
        lines += [("error", f"{reason.error}: {reason.message}"), ("field", reason.field or "(none)")]
        lines += [("service", reason.service), ("came from", source)]
    lines += [("key", safe(letter.key))]
    lines += [(f"header {name}", safe(value)) for name, value in letter.headers if name not in HEADERS]
    lines += [("bytes", str(len(letter.value or b""))), ("value", safe(letter.value, limit))]
    for name, text in lines:
        click.echo(f"{safe(name) + ':':<12} {safe(text)}")
