"""The two groups of a model's channels: what is in each, and how many share the budget."""

from __future__ import annotations

from collections.abc import Sequence

from shared.drift.baseline import Baseline
from shared.drift.joint import MAX_COMPONENTS
from shared.drift.prediction_channels import prediction_names
from shared.drift.stream.partials import GROUPS, Group

Features = Sequence[tuple[str, str]]
"""Name and kind of each feature, in the model's order."""


def group_kinds(features: Features, group: Group, *, classes: bool) -> list[tuple[str, str]]:
    """Return name and kind of each channel of a group, in order; ``classes``: the model decides on one."""
    if group == "features":
        return list(features)
    score, predicted = prediction_names([name for name, _ in features])
    return [(score, "numeric"), *([(predicted, "categorical")] if classes else [])]


def group_baseline(baseline: Baseline | None, group: Group) -> Baseline | None:
    """Return a group's part of a model's baseline, None where it has none."""
    if baseline is None:
        return None
    if group == "features":
        return baseline.of_features()
    return baseline.of_predictions() if baseline.predictions else None


def shared_channels(features: Features, baseline: Baseline | None, *, classes: bool) -> int:
    """Return how many channels share the model's budget, label given score among them.

    Those that a group may have whose baseline is still to be learnt all count: the share must not change
    later.

    Examples
    --------
    >>> shared_channels([("delay", "numeric"), ("origin", "categorical")], None, classes=True)
    4
    """
    channels = 0
    for group in GROUPS:
        known = group_baseline(baseline, group)
        kinds = [kind for _, kind in group_kinds(features, group, classes=classes)]
        channels += _most_channels(kinds, group) if known is None else len(known.calibrated)
    labels = baseline is not None and baseline.truths is not None
    return max(channels + labels, 1)


def _most_channels(kinds: Sequence[str], group: Group) -> int:
    """Return how many channels a group may have once its baseline is learnt, joint ones among them."""
    joint = group == "features" and kinds.count("numeric") > 1
    return len(kinds) + (1 + MAX_COMPONENTS if joint else 0)
