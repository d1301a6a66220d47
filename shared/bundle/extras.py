"""Optional libraries: imported on use, and named with their extra where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from shared.errors import BundleError


def need(module: str, extra: str) -> Any:
    """Return the module, for a library that only an extra installs.

    Raises
    ------
    BundleError
        It is not installed; the message says which extra brings it.

    Examples
    --------
    >>> need("json", "package").__name__
    'json'
    >>> need("no_such_library", "package")
    Traceback (most recent call last):
    shared.errors.BundleError: no_such_library is not installed: pip install 'driftline[package]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        name = error.name or module
        raise BundleError(f"{name} is not installed: pip install 'driftline[{extra}]'") from error
