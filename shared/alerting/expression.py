"""Arithmetic over named figures: numbers, names, ``+ - * /``, ``min``, ``max``, ``abs``. No ``eval``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Final

Figures = Mapping[str, float]
Expression = Callable[[Figures], float | None]
"""Returns ``None`` where a figure is missing or a divisor is 0."""

LONGEST: Final = 200
"""Characters: a formula, not a program."""

_OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS: Final[dict[str, Callable[..., float]]] = {"min": min, "max": max, "abs": abs}


def compile_expression(text: str, names: Collection[str]) -> Expression:
    """Return the formula as a function of the figures.

    Parameters
    ----------
    text
        The formula.
    names
        Figures that it may use.

    Raises
    ------
    ValueError
        It is no such formula; the message names what is wrong.

    Examples
    --------
    >>> share = compile_expression("errors / (errors + predictions)", ["errors", "predictions"])
    >>> share({"errors": 1.0, "predictions": 3.0}), share({"errors": 0.0, "predictions": 0.0})
    (0.25, None)
    >>> compile_expression("__import__('os')", ["errors"])
    Traceback (most recent call last):
    ValueError: "__import__('os')": only min, max and abs can be called
    """
    if len(text) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f'"{text}" is no formula: {error}') from error
    formula = _compile(tree, text, names)

    def value(figures: Figures) -> float | None:
        try:
            return formula(figures)
        except (KeyError, ZeroDivisionError, OverflowError):
            return None

    return value


def _compile(node: ast.expr, text: str, names: Collection[str]) -> Callable[[Figures], float]:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            constant = float(number)
            return lambda figures: constant
        case ast.Name(id=name):
            if name not in names:
                raise ValueError(
                    f'"{text}": there is no figure {name!r} here; there are {", ".join(sorted(names))}'
                )
            return lambda figures: figures[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _compile(operand, text, names)
            return lambda figures: -inner(figures)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            apply, a, b = _OPERATORS[type(op)], _compile(left, text, names), _compile(right, text, names)
            return lambda figures: apply(a(figures), b(figures))
        case ast.Call(func=func, args=args, keywords=[]):
            if not isinstance(func, ast.Name) or func.id not in _FUNCTIONS:
                raise ValueError(f'"{text}": only min, max and abs can be called')
            call, parts = _FUNCTIONS[func.id], [_compile(argument, text, names) for argument in args]
            if len(parts) != 1 if func.id == "abs" else len(parts) < 2:
                raise ValueError(f'"{text}": abs takes one figure, min and max two or more')
            return lambda figures: call(*(part(figures) for part in parts))
    raise ValueError(f'"{text}": only figures, numbers, + - * / and min, max, abs are allowed')
