"""What a service makes of the environment that a deployment gives it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from devstack.compose.reading import image_environment
from shared.settings import ServiceSettings

ROOT = Path(__file__).parents[2]


def settings_class(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"services.{service}.config")
    (found,) = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ServiceSettings) and kind.__module__ == module.__name__
    ]
    return found


def read_settings(service: str, environment: Mapping[str, str]) -> ServiceSettings:
    """The settings of a service, given an environment beside what its image sets; no name may be strange."""
    kind = settings_class(service)
    image = image_environment({"build": {"dockerfile": f"services/{service}/Dockerfile"}}, ROOT)
    given = {
        key.removeprefix("DRIFTLINE_").lower(): value
        for key, value in (image | dict(environment)).items()
        if key.startswith("DRIFTLINE_")
    }
    strange = set(given) - set(kind.model_fields)
    assert not strange, f"{service} has no setting {', '.join(sorted(strange))}"
    return kind(**given)
