"""JSON Schemas and the AsyncAPI document, made from the message types; checked in under ``docs/``.

``python -m shared.schemas --write`` writes them, ``--check`` fails where what is there is not current.

References
----------
AsyncAPI Specification 3.0.0 (2023); JSON Schema 2020-12.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from shared import dead_letters
from shared.alerting.formats import Notification
from shared.alerting.rules import RulesFile
from shared.messages import TOPIC_MESSAGES
from shared.topics import TopicNames, topic_specs
from shared.tracing import TRACEPARENT

_VERSION: Final = "1.0.0"
"""Version of the messages: a breaking change of any raises the first number."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DEAD_LETTERS: Final = "dead-letters"
_OTHERS: Final[tuple[type[msgspec.Struct], ...]] = (RulesFile, Notification)
"""What crosses no topic and has a schema all the same: the file of alert rules, the webhook."""

_ATTRIBUTES: Final = "\n\nAttributes\n----------\n"
_ATTRIBUTE: Final = re.compile(r"^(\w[\w, ]*)\n((?: +.*\n?)+)", re.MULTILINE)

_DIRECTIONS: Final = {
    "events": "receive",
    "labels": "receive",
    "outcomes": "receive",
    "predictions": "send",
    "shadow-predictions": "send",
    "labelled": "send",
    "reports": "send",
    "alerts": "send",
    "alert-commands": "receive",
    _DEAD_LETTERS: "send",
}
"""What Driftline as a whole does with a topic, as its users see it."""

_KEYS: Final = {
    "events": "entity_id, or event_id where there is none: one entity stays in order in one partition",
    "labels": "event_id",
    "outcomes": "entity_id, or event_id where there is none",
    "predictions": "the key of the event, in the partition of the event",
    "shadow-predictions": "the key of the event, in the partition of the event",
    "labelled": "event_id",
    "reports": "kind/model/model_version/window start/source topic/partition, "
    "of a service kind/service/instance: the last one counts",
    "alerts": "alert_id",
    "alert-commands": "any: there is one partition",
    _DEAD_LETTERS: "the key of the refused record, untouched",
}

_HEADERS: Final = {
    dead_letters.ERROR: "Class of the error: DecodeError, ValidationError or ProcessError",
    dead_letters.MESSAGE: "What is wrong, as a sentence",
    dead_letters.FIELD: "Dotted path of the field at fault, empty where no single one is",
    dead_letters.SERVICE: "The service that refused the record",
    dead_letters.SOURCE_TOPIC: "Topic of the refused record",
    dead_letters.SOURCE_PARTITION: "Partition of the refused record, decimal",
    dead_letters.SOURCE_OFFSET: "Offset of the refused record, decimal",
    dead_letters.FAILED_AT: "When it was refused, milliseconds since 1970, decimal",
}


def documents() -> dict[str, bytes]:
    """Return every generated file by its path under ``docs/``."""
    files = {f"schemas/{name}.json": schema for name, schema in message_schemas().items()}
    for other in _OTHERS:
        files[f"schemas/{_file_name(other)}.json"] = _schema(other)
    files["asyncapi.json"] = asyncapi()
    return {
        path: orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n" for path, content in files.items()
    }


def message_schemas() -> dict[str, dict[str, Any]]:
    """Return a self-contained JSON Schema per message type, by the name of its file.

    Examples
    --------
    >>> message_schemas()["label"]["$ref"]
    '#/$defs/Label'
    """
    schemas = {}
    for message in dict.fromkeys(chain.from_iterable(TOPIC_MESSAGES.values())):
        schemas[_file_name(message)] = _schema(message)
    return schemas


def _schema(of: type[msgspec.Struct]) -> dict[str, Any]:
    schema = {"$schema": _DIALECT, "title": of.__name__} | msgspec.json.schema(of)
    _describe(schema["$defs"])
    return schema


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI document: channels, messages, headers and what Driftline does with each."""
    _, schemas = msgspec.json.schema_components(
        chain.from_iterable(TOPIC_MESSAGES.values()), ref_template="#/components/schemas/{name}"
    )
    _describe(schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Driftline",
            "version": _VERSION,
            "description": "Events in, predictions out, and what is learnt from both. Topic names take a "
            "prefix. Values are JSON in UTF-8; fields that a reader does not know are passed through.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic) for topic in _DIRECTIONS},
        "operations": {
            f"{action}-{topic}": {"action": action, "channel": {"$ref": f"#/channels/{topic}"}}
            for topic, action in _DIRECTIONS.items()
        },
        "components": {
            "messages": {topic: _message(topic) for topic in _DIRECTIONS},
            "messageTraits": {"traced": {"headers": _headers({})}},
            "schemas": schemas,
        },
    }


def _channel(topic: str) -> dict[str, Any]:
    spec = next(spec for spec in topic_specs(TopicNames()) if spec.name == topic)
    configuration: dict[str, Any] = {
        "cleanup.policy": spec.cleanup.split(","),
        "max.message.bytes": spec.max_message_bytes,
    }
    if spec.retention_ms is not None:
        configuration["retention.ms"] = spec.retention_ms
    kafka = {
        "topic": topic,
        "partitions": spec.partitions,
        "topicConfiguration": configuration,
        "bindingVersion": "0.5.0",
    }
    return {
        "address": topic,
        "messages": {topic: {"$ref": f"#/components/messages/{topic}"}},
        "bindings": {"kafka": kafka},
    }


def _message(topic: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": topic,
        "bindings": {
            "kafka": {"key": {"type": "string", "description": _KEYS[topic]}, "bindingVersion": "0.5.0"}
        },
    }
    if topic == _DEAD_LETTERS:
        return message | {
            "title": "DeadLetter",
            "summary": "A refused record: its bytes and headers untouched, the reason in more headers.",
            "contentType": "application/octet-stream",
            "headers": _headers(_HEADERS),
            "payload": {"description": "The bytes of the refused record, whatever they are"},
        }
    kinds = TOPIC_MESSAGES[topic]
    references = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]
    return message | {
        "title": " or ".join(kind.__name__ for kind in kinds),
        "summary": " ".join((kind.__doc__ or "").partition("\n")[0] for kind in kinds),
        "traits": [{"$ref": "#/components/messageTraits/traced"}],
        "payload": references[0] if len(references) == 1 else {"oneOf": references},
    }


def _headers(own: dict[str, str]) -> dict[str, Any]:
    trace = {"type": "string", "description": "W3C Trace Context, copied from the event on"}
    properties = {name: {"type": "string", "description": text} for name, text in own.items()}
    return {"type": "object", "properties": {TRACEPARENT: trace} | properties} | (
        {"required": list(own)} if own else {}
    )


def _describe(schemas: dict[str, Any]) -> None:
    """Move what a docstring says about attributes to the properties; the rest describes the message."""
    for schema in schemas.values():
        text, _, attributes = inspect.cleandoc(schema.get("description", "")).partition(_ATTRIBUTES)
        schema["description"] = text.replace("``", "`")
        for names, description in _ATTRIBUTE.findall(attributes):
            for name in names.split(", "):
                sentence = " ".join(description.split()).replace("``", "`")
                schema["properties"][name] = {"description": sentence} | schema["properties"][name]


def _file_name(message: type[msgspec.Struct]) -> str:
    """Return ``inference-report`` for ``InferenceReport``."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in message.__name__).lstrip("-")


def stale(docs: Path) -> list[str]:
    """Return the generated files under ``docs`` that are missing, not current, or no longer made."""
    current = documents()
    wrong = [
        path
        for path, content in current.items()
        if not (docs / path).is_file() or (docs / path).read_bytes() != content
    ]
    left = {f"schemas/{file.name}" for file in (docs / "schemas").glob("*.json")} - current.keys()
    return [*wrong, *sorted(left)]


def write(docs: Path) -> None:
    """Write every generated file, and remove schemas of messages that are gone."""
    (docs / "schemas").mkdir(parents=True, exist_ok=True)
    for path in stale(docs):
        (docs / path).unlink(missing_ok=True)
    for path, content in documents().items():
        (docs / path).write_bytes(content)


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared.schemas", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="fail where a file is not current")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where they are (default: docs)")
    chosen = parser.parse_args(arguments)
    if chosen.write:
        write(chosen.docs)
    outdated = stale(chosen.docs)
    for path in outdated:
        print(f"{chosen.docs / path} is not current: run python -m shared.schemas --write", file=sys.stderr)
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
