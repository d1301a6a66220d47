"""The one error of devstack."""

from __future__ import annotations

from shared.errors import ServiceError


class DevstackError(ServiceError):
    """A part cannot be found, fetched or started; the message says which, why and what to do."""
