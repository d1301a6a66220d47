"""Why an event was refused, as a sentence that names the field.

Runs only on events that the compiled decoder refused, so it may be slow; it must never be wrong
about acceptance, hence the parser's own words are the fallback.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.errors import DecodeError, ServiceError, ValidationError
from shared.messages import EntityId, EventId, OccurredAt

_Problem = tuple[str, str]
"""A field's dotted path and what is wrong with it."""

_ENVELOPE: dict[str, Any] = {
    "event_id": EventId,
    "occurred_at": OccurredAt,
    "model": str | None,
    "entity_id": EntityId | None,
}
_REQUIRED = ("event_id", "occurred_at")

_HOLDS: dict[str, tuple[float, float, str]] = {
    "float32": (-3.4028234663852886e38, 3.4028234663852886e38, "a 32-bit float"),
    "int64": (-(2**63), 2**63 - 1, "a 64-bit integer"),
}
"""The least and the largest value of a dtype, and its name. JSON's numbers have no end."""


def bounds(feature: FeatureSpec) -> tuple[float, float]:
    """Return the least and the largest value that a numeric feature admits, by its range and its dtype.

    Examples
    --------
    >>> bounds(FeatureSpec(name="hour", dtype="int64", min=0))
    (0, 9223372036854775807)
    >>> bounds(FeatureSpec(name="x", dtype="float64"))
    (-1.7976931348623157e+308, 1.7976931348623157e+308)
    """
    low, high, _ = _HOLDS.get(feature.dtype, (-sys.float_info.max, sys.float_info.max, ""))
    return (
        low if feature.min is None else max(low, feature.min),
        high if feature.max is None else min(high, feature.max),
    )


def explain(value: bytes, spec: ModelSpec, parser_says: str) -> ServiceError:
    """Return the error for an event that did not decode: first the field, then what is wrong.

    Examples
    --------
    >>> from shared.bundle.spec import OutputSpec
    >>> spec = ModelSpec(name="m", version="1", task="regression", output=OutputSpec(score="y"),
    ...                  features=(FeatureSpec(name="hour"),))
    >>> print(explain(b'{"event_id": "a", "occurred_at": 1, "features": {"hour": NaN}}', spec, ""))
    features.hour is NaN, which is no JSON number; send null for a missing value
    """
    try:
        document = json.loads(value)  # unlike the fast decoder it accepts NaN, so it can name the field
        json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        return DecodeError("the value is nested too deeply to be an event")
    except UnicodeEncodeError:
        return DecodeError("the value is not JSON in UTF-8: a string holds half of a surrogate pair")
    except ValueError as error:
        return DecodeError(f"the value is not JSON in UTF-8: {error}")
    if not isinstance(document, dict):
        return DecodeError(f"the value is a JSON {_json_name(document)}, an event is an object")
    problems = [*_envelope_problems(document, spec), *_feature_problems(document, spec)]
    if not problems:
        return ValidationError(f"the event does not fit the model: {parser_says}")
    shown = "; ".join(f"{field} {text}" for field, text in problems[:3])
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return ValidationError(shown + more, field=problems[0][0])


def _envelope_problems(document: Mapping[str, Any], spec: ModelSpec) -> Iterator[_Problem]:
    model = document.get("model")
    if isinstance(model, str) and model != spec.name:
        yield "model", f"is {model!r}, which is not served here (served: {spec.name})"
    for field, kind in _ENVELOPE.items():
        if field not in document:
            if field in _REQUIRED:
                yield field, "is missing"
            continue
        try:
            # Through bytes, since only there a datetime is checked as RFC 3339.
            msgspec.json.decode(msgspec.json.encode(document[field]), type=kind)
        except (msgspec.DecodeError, msgspec.ValidationError, OverflowError) as error:
            yield field, f"is {_shown(document[field])}: {_lower(str(error))}"


def _feature_problems(document: Mapping[str, Any], spec: ModelSpec) -> Iterator[_Problem]:
    if "features" not in document:
        yield "features", "is missing"
        return
    features = document["features"]
    if not isinstance(features, dict):
        yield "features", f"is a JSON {_json_name(features)}, expected an object"
        return
    known = {feature.name for feature in spec.features}
    for name in features:
        if name not in known:
            yield f"features.{name[:200]}", f"is not a feature of model {spec.name} version {spec.version}"
    for feature in spec.features:
        path = f"features.{feature.name}"
        if feature.name not in features:
            if not feature.nullable:
                yield path, "is missing"
        elif (text := _value_problem(features[feature.name], feature)) is not None:
            yield path, text


def _value_problem(value: Any, feature: FeatureSpec) -> str | None:
    if value is None:
        return None if feature.nullable else "is null, and the model declares it as not nullable"
    if feature.kind == "boolean":
        return None if isinstance(value, bool) else _expected("true or false", value)
    if feature.kind == "categorical":
        return _category_problem(value, feature)
    return _number_problem(value, feature)


def _category_problem(value: Any, feature: FeatureSpec) -> str | None:
    if not isinstance(value, str):
        return _expected("a string", value)
    if feature.categories is None or feature.unknown == "missing" or value in feature.categories:
        return None
    return f"is {_shown(value)}, which is none of the {len(feature.categories)} declared categories"


def _number_problem(value: Any, feature: FeatureSpec) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _expected("a number", value)
    if isinstance(value, float) and math.isnan(value):
        return "is NaN, which is no JSON number; send null for a missing value"
    if isinstance(value, float) and math.isinf(value):
        return "is infinite or too large for a 64-bit float"
    if feature.dtype == "int64" and value != int(value):
        return _expected("a whole number", value)
    if feature.min is not None and value < feature.min:
        return f"is {_shown(value)}, below the declared minimum {feature.min:g}"
    if feature.max is not None and value > feature.max:
        return f"is {_shown(value)}, above the declared maximum {feature.max:g}"
    low, high, name = _HOLDS.get(feature.dtype, (value, value, ""))
    return None if low <= value <= high else f"is {_shown(value)}, too large for {name}"


def _expected(what: str, value: Any) -> str:
    return f"is {_shown(value)}, a JSON {_json_name(value)}; expected {what}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _json_name(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
