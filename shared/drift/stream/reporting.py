"""A group's watch as the channels of a drift report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.channel import ChannelBaseline
from shared.drift.figures import jensen_shannon, psi, reference_counts, wasserstein
from shared.drift.segments import Segment
from shared.drift.stream.explaining import digits_to_tell, mean_and_sd, reference_mean_and_sd
from shared.drift.stream.group import GroupWatch
from shared.drift.stream.partials import Group
from shared.drift.stream.windows import WindowCounts
from shared.messages import DriftAlarm, DriftChannel, DriftFigures, DriftOpinion, DriftSegment

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP: Final = 8
LONGEST_NAME: Final = 60


def channels_of(group: Group, watch: GroupWatch, window: WindowCounts | None) -> Iterator[DriftChannel]:
    """Yield every channel of a group as it was at the end of a window."""
    rows = {channel.name: row for row, channel in enumerate(watch.coder.channels)}
    now = watch.evidence() if window is None else window.evidence
    for channel in watch.channels:
        row = rows.get(channel.name, -1)
        shown = window if row >= 0 and window is not None and window.events else None
        made = DriftChannel(
            name=channel.name,
            kind=channel.kind,
            source=group,
            reason=channel.reason,
            floor=round(channel.smallest_shift, 4) if channel.calibrated else None,
            evidence=round(float(now[row]), 4) if row >= 0 else 0.0,
            alarm=_alarm(watch, channel.name),
        )
        if shown is not None:
            counts = shown.counts[row, : len(channel.counts)]
            reference = reference_counts(channel, shown.counts[row])
            made = msgspec.structs.replace(
                made,
                peak=round(float(shown.peak[row]), 4),
                figures=figures_of(
                    channel, counts, reference, watch.sums(row, shown.sums), watch.windows.most_new(row, TOP)
                ),
                bins=tuple(name[:LONGEST_NAME] for name in channel.bin_names),
                reference=tuple(np.rint(reference).astype(int).tolist()),
                current=tuple(counts.tolist()),
            )
        yield made


def _alarm(watch: GroupWatch, name: str) -> DriftAlarm | None:
    """Return a channel's alarm: the one that is on, else the last one that was."""
    latched, off = watch.latch.active.get(name), None
    if latched is None:
        if name not in watch.cleared:
            return None
        latched, off = watch.cleared[name]
    at = watch.places.at
    return DriftAlarm(
        change=latched.change,
        detail=latched.detail,
        evidence=round(watch.common(latched.evidence), 4),
        raised=at(latched.since),
        change_point=at(latched.change_point),
        times=latched.alarms,
        last=at(latched.last) if latched.alarms > 1 else None,
        cleared=None if off is None else at(off),
        explanation=watch.story(name),
        segment=_segment(watch.segments.get(name)),
    )


def opinion_of(watch: GroupWatch | None) -> DriftOpinion | None:
    """Return the second opinion; None before it has seen anything."""
    if watch is None or watch.opinion_on is None or not watch.slot:
        return None
    opinion = watch.opinion
    last = None if opinion.last_change is None else watch.places.at(opinion.last_change)
    return DriftOpinion(
        channel=watch.opinion_on, width=opinion.width, changes=opinion.changes, last_change=last
    )


def _segment(found: Segment | None) -> DriftSegment | None:
    if found is None:
        return None
    categories = tuple(name[:LONGEST_NAME] for name in found.categories)
    return DriftSegment(
        feature=found.feature, categories=categories, explained=found.explained, events=found.events
    )


def figures_of(
    channel: ChannelBaseline,
    counts: NDArray[np.int64],
    reference: NDArray[np.float64],
    sums: NDArray[np.float64] | None,
    new: Sequence[tuple[str, int]],
) -> DriftFigures:
    """Return the familiar figures of a window.

    Parameters
    ----------
    counts, reference
        Events per bin in the window, at least one, and as training had them at such hours; ``(bins,)``.
    sums
        Sum and sum of squares of a numeric channel, else None.
    new
        The most frequent unseen categories and how often they came.
    """
    events = int(counts.sum())
    made = DriftFigures(
        events=events,
        psi=round(psi(reference, counts), 5),
        jensen_shannon=round(jensen_shannon(reference, counts), 5),
        missing=round(float(counts[-1] / events), 5),
    )
    if sums is None:
        names = channel.bin_names
        order = np.argsort(-counts, kind="stable")[:TOP].tolist()
        return msgspec.structs.replace(
            made,
            unseen=round(float(counts[-2] / events), 5),
            top=tuple((names[i][:LONGEST_NAME], int(counts[i])) for i in order if counts[i]),
            new=tuple(new),
        )
    now, usual = mean_and_sd(channel, counts.astype(np.float64), sums), reference_mean_and_sd(channel)
    return msgspec.structs.replace(
        made,
        wasserstein=None
        if now is None
        else round(wasserstein(reference[:-1], counts[:-1], channel.centres, channel.sd), 5),
        mean=None if now is None else _short(now[0], channel),
        sd=None if now is None else float(f"{now[1]:.6g}"),
        quantiles=_quantiles(channel, counts) if now is not None else (),
        reference_mean=None if usual is None else _short(usual[0], channel),
        reference_sd=None if usual is None else float(f"{usual[1]:.6g}"),
        reference_quantiles=_quantiles(channel, np.array(channel.counts)),
        adjusted=channel.phases is not None,
    )


def _quantiles(channel: ChannelBaseline, counts: NDArray[np.int64]) -> tuple[float, ...]:
    """Return quantiles interpolated within the bins.

    Bins of a channel with a season are of values standardised by their hour: its quantiles are those of an
    hour of average mean and spread.

    The outermost bins have no outer edge: they are taken to reach as far beyond the mean of their
    training values as their inner edge lies before it.
    """
    if not channel.edges:
        return ()
    inner = np.array(channel.edges)
    low = min(2 * channel.centres[0] - inner[0], inner[0])
    high = max(2 * channel.centres[-1] - inner[-1], inner[-1])
    edges = np.concatenate([[low], inner, [high]])
    cumulative = np.concatenate([[0], np.cumsum(counts[:-1])]) / max(int(counts[:-1].sum()), 1)
    steps = np.flatnonzero(np.diff(cumulative, prepend=-1.0))
    found = np.interp(QUANTILES, cumulative[steps], edges[steps])
    if channel.phases is not None:
        found = channel.centre + found * float(np.mean(channel.phases.sd))
    return tuple(_short(value, channel) for value in found.tolist())


def _short(value: float, channel: ChannelBaseline) -> float:
    """Return a number with six significant digits, or as many as a thousandth of the channel's spread needs.

    Reports are read by people and cross a network; but of 1,700,000,010 +- 10 the last ones matter.
    """
    usual = reference_mean_and_sd(channel)
    spread = usual[1] if usual is not None else 0.0
    return float(f"{value:.{max(6, digits_to_tell(value, spread / 1_000))}g}")
