"""Where bundles come from: the registry, or directories that are named in the settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from shared.bundle.read import read_spec
from shared.errors import RegistryError


class Shelf(Protocol):
    """What the service needs of a registry: any version's bundle, not only the champion's."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def fetch(self, model: str, version: str) -> Path:
        """Return the local directory of a version's bundle."""
        ...


class FolderShelf:
    """Bundles in directories, several versions of a model among them.

    Raises
    ------
    BundleError
        One of them is no bundle.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        specs = [(read_spec(folder), folder) for folder in folders]
        self._folders = {(spec.name, spec.version): folder for spec, folder in specs}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    async def fetch(self, model: str, version: str) -> Path:
        """Return the directory of a version.

        Raises
        ------
        RegistryError
            It is not among those named.
        """
        folder = self._folders.get((model, version))
        if folder is None:
            raise RegistryError(f"model_bundles names no bundle of {model} version {version}")
        return folder
