"""What a service's modules import, read out of their sources: nothing is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("services", "shared")


def libraries(package: str) -> set[str]:
    """Every library that importing all of a package's modules imports, however indirectly."""
    found: set[str] = set()
    to_see = [module_name(path) for path in (ROOT / package.replace(".", "/")).rglob("*.py")]
    seen = set(to_see)
    while to_see:
        for name in imports(to_see.pop()):
            if name.partition(".")[0] not in OURS:
                found.add(name.partition(".")[0])
            elif name not in seen and source(name) is not None:
                seen.add(name)
                to_see.append(name)
    return found - sys.stdlib_module_names


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def source(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    places = (path / "__init__.py", path.with_suffix(".py"))
    return next((place for place in places if place.is_file()), None)


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports when it is imported, its parents included."""
    path = source(module)
    assert path is not None
    names = {module.rpartition(".")[0]} - {""}
    for node in executed(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{module}: relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def executed(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run on import: not those in functions, nor those for type checkers."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from executed(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("body", "orelse", "finalbody", "handlers"):
                for child in getattr(node, field, ()):
                    yield from executed(child.body if isinstance(child, ast.ExceptHandler) else [child])
