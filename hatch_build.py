"""Puts the runbooks into the wheel, for the alerting service to serve; an editable install has them."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RunbooksHook(BuildHookInterface[Any]):
    """Adds ``docs/runbooks`` to a wheel that is no editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to hatchling; ``version`` is ``standard`` or ``editable``."""
        if version == "standard":
            build_data["force_include"]["docs/runbooks"] = "services/alerting/runbooks"
