"""Does the contract say the same as the model? Asked where equal scores would not tell.

A graph and the model it came from are given the same matrix without names: if the columns, the
category codes or the class labels are declared in a wrong order, both are wrong in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.bundle.convert.original import Facts
from shared.bundle.spec import ModelSpec
from shared.errors import BundleError


def check_agreement(spec: ModelSpec, facts: Facts) -> None:
    """Check the orders that ``spec`` declares against those that the model knows.

    Names that the model does not have at all are no contradiction: columns and labels may be
    called differently in production.

    Raises
    ------
    BundleError
        The same names are declared in another order than the model's.

    Examples
    --------
    >>> from shared.bundle.spec import FeatureSpec, OutputSpec
    >>> spec = ModelSpec(name="m", version="1", task="binary", output=OutputSpec(score="p"),
    ...                  features=(FeatureSpec(name="x"),), classes=("yes", "no"))
    >>> check_agreement(spec, Facts("p", classes=("no", "yes")))
    Traceback (most recent call last):
    shared.errors.BundleError: classes are declared in the order yes, no, and the model has them as no, yes
    """
    problems = list(_problems(spec, facts))
    if problems:
        raise BundleError("; ".join(problems))


def _problems(spec: ModelSpec, facts: Facts) -> Iterator[str]:
    names = tuple(feature.name for feature in spec.features)
    if _reordered(names, facts.features):
        yield f"features are declared in the order {', '.join(names)}, {_known(facts.features)}"
    if _reordered(spec.classes, facts.classes):
        yield f"classes are declared in the order {', '.join(spec.classes)}, {_known(facts.classes)}"
    for feature in spec.features:
        known = facts.categories.get(feature.name)
        if feature.encoding == "ordinal" and _reordered(feature.categories or (), known):
            declared = ", ".join(feature.categories or ())
            yield f"categories of {feature.name} are declared in the order {declared}, {_known(known)}"


def _reordered(declared: Sequence[str], known: Sequence[str] | None) -> bool:
    return known is not None and tuple(known) != tuple(declared) and set(known) == set(declared)


def _known(names: Sequence[str] | None) -> str:
    return f"and the model has them as {', '.join(names or ())}"
