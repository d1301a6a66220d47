"""YAML with the line of every key: an error in a rules file must say where to look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml

from shared.errors import ConfigError

Path = tuple[str | int, ...]
"""Keys and positions from the top, as in ``("rules", 2, "above")``."""

_MOST_NODES: Final = 50_000
"""YAML's anchors can make a small file enormous."""


class Document:
    """What a YAML file holds, and where.

    Parameters
    ----------
    text
        The file.
    name
        What to call it in errors.

    Raises
    ------
    ConfigError
        It is no YAML, or names a key twice; with the line.

    Examples
    --------
    >>> document = Document("rules:\\n  - name: a\\n    above: 3\\n", "rules.yml")
    >>> document.content, document.where(("rules", 0, "above"))
    ({'rules': [{'name': 'a', 'above': 3}]}, 'rules.yml:3: rules[0].above')
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._lines: dict[Path, int] = {}
        self._problems: list[str] = []
        self._nodes = 0
        loader = None
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            self.content: Any = {} if node is None else self._build(loader, node, ())
        except (
            yaml.YAMLError,
            ValueError,
            RecursionError,
        ) as error:  # a date such as 2024-13-01 is a ValueError
            raise ConfigError([f"{name}:{_line(error)}: {_reason(error)}"]) from error
        finally:
            if loader is not None:
                loader.dispose()
        if self._problems:
            raise ConfigError(self._problems)

    def where(self, path: Path) -> str:
        """Return file, line and key of a place, or of the nearest place above it that is there."""
        line = next((self._lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self._lines), 1)
        key = spelled(path)
        return f"{self.name}:{line}: {key}" if key else f"{self.name}:{line}"

    def _build(self, loader: yaml.SafeLoader, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise yaml.YAMLError("too large")
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(loader, node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, child, (*path, n)) for n, child in enumerate(node.value)]
        return self._said(loader.construct_object(node), path)

    def _said(self, value: Any, path: Path) -> Any:
        """Return a value; half a character, which YAML can spell and nobody can write down, is a problem."""
        if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            self._problems.append(f"{self.where(path)}: holds half a character (a lone surrogate)")
            return value.encode("utf-8", "replace").decode()
        return value

    def _items(
        self, loader: yaml.SafeLoader, node: yaml.MappingNode, path: Path
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key_node, value_node in node.value:
            key = self._said(str(key_node.value), path)
            self._lines[*path, key] = key_node.start_mark.line + 1
            if key in seen:
                self._problems.append(f"{self.where((*path, key))}: is there twice")
            seen.add(key)
            yield key, self._build(loader, value_node, (*path, key))


def spelled(path: Path) -> str:
    """Return a path as a person writes it.

    Examples
    --------
    >>> spelled(("rules", 2, "relative_to", "windows"))
    'rules[2].relative_to.windows'
    """
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _line(error: Exception) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark is not None else 1


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return str(getattr(error, "problem", None) or error)
