"""Arithmetic over named columns: read with Python's own grammar, and only a small part of it allowed.

There is no ``eval``: the text is parsed to a syntax tree, every node of it must be of a kind listed here,
and the tree is then computed with NumPy, a whole micro-batch at a time.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.errors import ValidationError

Column = npt.NDArray[np.float64]

LONGEST: Final = 500
DEEPEST: Final = 40

ANSWER_NAMES: Final = frozenset({"score", "decision"})
"""Known with the answer: the score, and 1 where it is the positive class (for regression, its value)."""

TRUTH_NAMES: Final = frozenset({"truth", "correct", "tp", "fp", "tn", "fn"})
"""Known with the label: 1 where it is positive (the value, for regression), and what follows from it."""

_BINARY: Final[dict[type[ast.operator], Callable[..., Any]]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide,
}  # fmt: skip
_UNARY: Final[dict[type[ast.unaryop], Callable[..., Any]]] = {
    ast.USub: np.negative, ast.UAdd: np.positive, ast.Not: np.logical_not,
}  # fmt: skip
_COMPARE: Final[dict[type[ast.cmpop], Callable[..., Any]]] = {
    ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal,
    ast.Eq: np.equal, ast.NotEq: np.not_equal,
}  # fmt: skip
_CALLS: Final[dict[str, tuple[Callable[..., Any], int]]] = {
    "min": (np.minimum, 2), "max": (np.maximum, 2), "abs": (np.abs, 1), "log1p": (np.log1p, 1),
    "sqrt": (np.sqrt, 1),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes
    ----------
    text
        As it was written.
    names
        The columns that it needs.
    """

    text: str
    names: frozenset[str]
    _tree: ast.expr

    @property
    def needs_truth(self) -> bool:
        """Whether it cannot be known before the label."""
        return bool(self.names & TRUTH_NAMES)

    @property
    def outcomes(self) -> frozenset[str]:
        """The outcomes that it needs, by name."""
        return self.names - TRUTH_NAMES - ANSWER_NAMES

    def __call__(self, columns: Mapping[str, Column], rows: int) -> Column:
        """Return the value of each row, shape ``(rows,)``; NaN where it is not defined.

        A column that is NaN makes the value NaN wherever the column is used; division by zero does too.
        """
        with np.errstate(all="ignore"):
            value = np.broadcast_to(np.asarray(_compute(self._tree, columns), np.float64), (rows,)).copy()
        value[~np.isfinite(value)] = np.nan
        for name in self.names:
            value[np.isnan(columns[name])] = np.nan  # a comparison with NaN is False, and would hide it
        return value


def parse(text: str) -> Expression:
    """Return the expression in a text.

    Numbers, names, ``+ - * /``, comparisons, ``and or not``, ``a if condition else b`` and the functions
    ``min``, ``max``, ``abs``, ``sqrt``, ``log1p`` are allowed, and nothing else.

    Raises
    ------
    ValidationError
        It is no such expression; the message names the part at fault.

    Examples
    --------
    >>> cost = parse("-5 * fp - 100 * fn")
    >>> columns = {"fp": np.array([1.0, 0.0]), "fn": np.array([0.0, 1.0])}
    >>> cost(columns, 2).tolist(), cost.needs_truth
    ([-5.0, -100.0], True)
    >>> parse("revenue.real")
    Traceback (most recent call last):
    ...
    shared.errors.ValidationError: 'revenue.real' is not allowed in an expression
    """
    if len(text) > LONGEST:
        raise ValidationError(f"an expression has {LONGEST} characters at most, this has {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValidationError(f"{text!r} is no expression: {getattr(error, 'msg', error)}") from None
    names: set[str] = set()
    _check(tree, names, 0)
    return Expression(text, frozenset(names), tree)


def _check(node: ast.AST, names: set[str], depth: int) -> None:
    """Refuse a node of a kind that is not listed, and collect the names."""
    if depth > DEEPEST:
        raise ValidationError(f"an expression is nested {DEEPEST} deep at most")
    if isinstance(node, ast.Name):
        names.add(node.id)
    elif not (isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float)):
        for part in _parts(node):
            _check(part, names, depth + 1)


def _parts(node: ast.AST) -> list[ast.expr]:
    """Return the operands of an operation that is allowed."""
    match node:
        case ast.BinOp(op=op) if type(op) in _BINARY:
            return [node.left, node.right]
        case ast.UnaryOp(op=op) if type(op) in _UNARY:
            return [node.operand]
        case ast.BoolOp():
            return list(node.values)
        case ast.Compare(ops=ops) if all(type(op) in _COMPARE for op in ops):
            return [node.left, *node.comparators]
        case ast.IfExp():
            return [node.test, node.body, node.orelse]
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            return _arguments(name, node.args)
    raise ValidationError(f"{ast.unparse(node)!r} is not allowed in an expression")


def _arguments(name: str, given: list[ast.expr]) -> list[ast.expr]:
    if name not in _CALLS:
        raise ValidationError(
            f"{name!r} is no function of an expression; there are {', '.join(sorted(_CALLS))}"
        )
    if len(given) != _CALLS[name][1]:
        raise ValidationError(f"{name} takes {_CALLS[name][1]} values, not {len(given)}")
    return given


def _compute(node: ast.expr, columns: Mapping[str, Column]) -> Any:
    match node:
        case ast.Constant():
            return float(node.value)  # type: ignore[arg-type]
        case ast.Name():
            return columns[node.id]
        case ast.BinOp():
            return _BINARY[type(node.op)](_compute(node.left, columns), _compute(node.right, columns))
        case ast.UnaryOp():
            return _UNARY[type(node.op)](_compute(node.operand, columns))
        case ast.BoolOp():
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return join.reduce(np.broadcast_arrays(*(_compute(part, columns) for part in node.values)))
        case ast.Compare():
            sides = [_compute(part, columns) for part in (node.left, *node.comparators)]
            each = [_COMPARE[type(op)](sides[i], sides[i + 1]) for i, op in enumerate(node.ops)]
            return np.logical_and.reduce(np.broadcast_arrays(*each))
        case ast.IfExp():
            chosen = np.asarray(_compute(node.test, columns), bool)
            return np.where(chosen, _compute(node.body, columns), _compute(node.orelse, columns))
        case ast.Call(func=ast.Name(id=name)):
            return _CALLS[name][0](*(_compute(part, columns) for part in node.args))
    raise AssertionError(node)  # _check lets nothing else through
