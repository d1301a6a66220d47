"""The e-SR drift detector: mixtures of Shiryaev-Roberts statistics under a false-alarm budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.alarm import Alarm
from shared.drift.alternatives import BETS, FIXED_SHARE, Bets
from shared.drift.slots import Slots

BLOCK_SLOTS = 8
WINDOWS = (1024.0, 16384.0)
_LARGEST_LOG = 60.0


class Detector:
    """Detects change in any of several channels, at most one false alarm per A events on average.

    Per slot of n events with bin counts C, for bet m of channel f with weight w::

        R[f, m] = (R[f, m] + n) * exp(sum_j C[f, j] * (log(q_mj / p_j) - g_m))
        S[f] = sum_m w_m R[f, m];  alarm where mean_f S[f] >= A;  then R[f] = 0

    Without change the mean of R after n events is at most n, whatever the dependence between
    channels; that is the guarantee [1]_. Shiryaev-Roberts and CUSUM statistics detect about as fast
    as anything can [2]_. g_m = log(A d / w_m) / n_eff pays for p being an estimate. Two plug-in
    bets per channel learn q from the past 1,024 and 16,384 events and find changes of any shape.

    Parameters
    ----------
    bets
        One per channel.
    events_between_alarms
        A: mean number of events between false alarms, all channels together.
    fingerprint
        Of the baseline: a snapshot can only be restored into a detector of the same one.

    References
    ----------
    .. [1] Shin, J., Ramdas, A. and Rinaldo, A. (2022). E-detectors: a nonparametric framework for
       sequential change detection. arXiv:2203.03532.
    .. [2] Moustakides, G. V. (1986). Optimal stopping times for detecting changes in distributions.
       The Annals of Statistics 14(4), 1379-1387.

    Examples
    --------
    >>> from shared.drift import SlotCounter, channel_bets, fit_baseline
    >>> rng = np.random.default_rng(7)
    >>> baseline = fit_baseline({"delay": rng.normal(size=20_000)}, {"delay": "numeric"})
    >>> counter = SlotCounter(baseline)
    >>> detector = Detector([channel_bets(c) for c in baseline.calibrated], events_between_alarms=1e6)
    >>> detector.update(counter.add({"delay": rng.normal(size=3_200)}))
    []
    >>> alarm = detector.update(counter.add({"delay": rng.normal(loc=1.0, size=320)}))[0]
    >>> alarm.channel, alarm.change, alarm.detail, alarm.event < 3_280
    ('delay', 'location', 'mean +1.28 sd', True)
    """

    def __init__(self, bets: Sequence[Bets], events_between_alarms: float, fingerprint: str = "") -> None:
        if not bets:
            raise ValueError("a detector needs at least one calibrated channel")
        if not (math.isfinite(events_between_alarms) and events_between_alarms >= 1):
            raise ValueError("events_between_alarms must be a number of 1 or more")
        self.channels = tuple(b.channel for b in bets)
        self.events_between_alarms = float(events_between_alarms)
        self._bets = tuple(bets)
        self._fingerprint = fingerprint
        self._identity = f"bets {BETS}/{fingerprint}/{self.events_between_alarms!r}"
        self._nearly = 0.999 * self.events_between_alarms * len(bets)
        self._prepare()
        self._begin()

    def _prepare(self) -> None:
        """Lay out all bets of all channels as arrays; columns past a channel's own never pay."""
        d, bins = len(self._bets), max(b.columns for b in self._bets)
        fixed, windows = max(len(b.weights) for b in self._bets), len(WINDOWS)
        self._fixed, self._own_bins = fixed, np.array([len(b.probabilities) for b in self._bets], np.float64)
        self._p = np.ones((d, bins))
        self._weights = np.zeros((d, fixed + windows))
        self._log = np.full((d, bins, fixed + windows), -1.0)
        self._exponent = np.array([b.exponent for b in self._bets])
        self._plugged = np.array([b.plug_in for b in self._bets])
        self._seasonal = [f for f, b in enumerate(self._bets) if b.cell_shares is not None]
        rows = np.array([b.effective_rows for b in self._bets])
        for f, b in enumerate(self._bets):
            own, m = len(b.probabilities), len(b.weights)
            scale = 1.0 if b.plug_in else 1 / FIXED_SHARE
            self._p[f, :own] = b.probabilities
            self._weights[f, :m] = b.weights * scale
            self._weights[f, fixed:] = (1 - FIXED_SHARE) / windows if b.plug_in else 0.0
            charge = np.log(self.events_between_alarms * d / self._weights[f, :m]) / b.effective_rows
            self._log[f, :own, :m] = b.exponent * (b.log_ratios - charge[:, None]).T
            if b.cell_shares is not None:
                expected = b.cell_shares @ np.exp(b.log_ratios).T
                self._log[f, own : b.columns, :m] = -b.exponent * np.log(expected)
        price = math.log(self.events_between_alarms * d * windows / (1 - FIXED_SHARE))
        self._plug_charge = (self._own_bins + price) / rows

    def _begin(self) -> None:
        shape, d = self._weights.shape, len(self._bets)
        self.events = 0
        self._slot = 0
        self._wealth = np.zeros(shape)
        self._rise = np.zeros(shape)
        self._since = np.zeros(shape, np.int64)
        self._window_counts = np.zeros((d, self._p.shape[1], len(WINDOWS)))
        self._window_events = np.zeros(len(WINDOWS))
        self._block = np.zeros(self._p.shape)
        self._block_events = 0
        self._forget = np.zeros(d, np.bool_)
        self._plug()

    @property
    def slots(self) -> int:
        """Slots taken so far."""
        return self._slot

    @property
    def evidence(self) -> dict[str, float]:
        """log10 of each channel's evidence now, at least 0; an alarm needs log10(A) in all."""
        totals = (self._wealth * self._weights).sum(axis=1) / len(self._bets)
        return dict(zip(self.channels, np.log10(np.maximum(totals, 1.0)).tolist(), strict=True))

    def update(self, slots: Slots) -> list[Alarm]:
        """Return the alarms that these slots raise, in order.

        The answer depends on the sequence of slots alone, not on how calls divide it, to the last bit.

        Parameters
        ----------
        slots
            Merged over all partitions.

        Raises
        ------
        ValueError
            The slots were counted for other channels.
        """
        if slots.counts.shape[1:] != self._p.shape:
            raise ValueError(
                f"the slots are of {slots.counts.shape[1:]} channels and bins, not of {self._p.shape}"
            )
        alarms: list[Alarm] = []
        done = 0
        while done < len(slots):
            place = self._slot % BLOCK_SLOTS
            take = min(BLOCK_SLOTS - place, len(slots) - done)
            self._advance(slots.counts[done : done + take], slots.events[done : done + take], place, alarms)
            done += take
        return alarms

    def _advance(
        self, counts: NDArray[np.int64], events: NDArray[np.int64], place: int, alarms: list[Alarm]
    ) -> None:
        """Take slots of one block. Products have the block's full shape, so their bits never vary."""
        block = np.zeros((self._p.shape[0], BLOCK_SLOTS, self._p.shape[1]))
        block[:, place : place + len(counts)] = counts.transpose(1, 0, 2)
        growth = np.minimum(np.matmul(block, self._log), _LARGEST_LOG).transpose(1, 0, 2)
        factors = np.exp(growth)
        for k, n in enumerate(events.tolist(), start=place):
            self._step(n, growth[k], factors[k], alarms)
        self._slot += len(counts)
        self._block += counts.sum(axis=0)
        self._block_events += int(events.sum())
        if self._slot % BLOCK_SLOTS == 0:
            self._close_block()

    def _step(
        self, n: int, growth: NDArray[np.float64], factors: NDArray[np.float64], alarms: list[Alarm]
    ) -> None:
        np.copyto(self._since, self.events, where=self._rise <= 0)
        np.maximum(self._rise, 0.0, out=self._rise)
        self._rise += growth
        self._wealth += n
        self._wealth *= factors
        self.events += n
        if np.vdot(self._wealth, self._weights) < self._nearly:
            return  # one product instead of a sum per channel: nothing is near
        weighted = self._wealth * self._weights
        totals = weighted.sum(axis=1)
        raised = []
        while totals.sum() >= self.events_between_alarms * len(self._bets):
            f = int(totals.argmax())
            raised.append((self._bets[f].joint, self._raise(f, weighted, totals)))
            totals[f] = 0.0
        if raised:  # a feature explains more than a joint channel that it has moved along
            alarms.extend(alarm for _, alarm in sorted(raised, key=lambda one: one[0]))

    def _raise(self, f: int, weighted: NDArray[np.float64], totals: NDArray[np.float64]) -> Alarm:
        best = int(weighted[f].argmax())
        fixed = best < self._fixed
        alarm = Alarm(
            channel=self.channels[f],
            change=self._bets[f].changes[best] if fixed else "shape",
            detail=self._bets[f].details[best] if fixed else self._shape(f, best),
            evidence=math.log10(totals[f] / len(self._bets)),
            event=self.events,
            change_point=int(self._since[f, best]),
        )
        self._wealth[f] = 0.0
        self._rise[f] = 0.0
        self._forget[f] = True
        return alarm

    def _shape(self, f: int, column: int) -> str:
        """Return which bin a plug-in alternative learnt to have changed most."""
        names = self._bets[f].bin_names
        log_ratio = self._log[f, : len(names), column] / self._exponent[f] + self._plug_charge[f]
        moved = self._p[f, : len(names)] * np.abs(np.exp(log_ratio) - 1)
        most = int(moved.argmax())
        return f"{names[most]} x{math.exp(log_ratio[most]):.2g}, most of all bins"

    def _close_block(self) -> None:
        """Learn the block's counts, after they were bet on, and renew the plug-in alternatives."""
        decay = np.exp(-self._block_events / np.array(WINDOWS))
        self._window_counts = self._window_counts * decay + self._block[:, :, None]
        self._window_events = self._window_events * decay + self._block_events
        for f in np.flatnonzero(self._forget).tolist():
            self._window_counts[f] = self._expected(f)
        self._block = np.zeros(self._p.shape)
        self._block_events = 0
        self._forget[:] = False
        self._plug()

    def _expected(self, f: int) -> NDArray[np.float64]:
        """Return a channel's windows as they would be without drift, shape ``(bins, windows)``."""
        cells, own = self._bets[f].cell_shares, len(self._bets[f].probabilities)
        if cells is None:
            expected: NDArray[np.float64] = self._p[f, :, None] * self._window_events
            return expected
        expected = self._window_counts[f].copy()
        expected[:own] = cells.T @ expected[own : own + len(cells)]
        return expected

    def _plug(self) -> None:
        strength = 2.0 * self._own_bins[:, None, None]
        p = self._p[:, :, None]
        shares = (self._window_counts + strength * p) / (self._window_events + strength)
        charged = np.log(shares / p) - self._plug_charge[:, None, None]
        tempered = charged * self._exponent[:, None, None]
        self._log[:, :, self._fixed :] = np.where(self._plugged[:, None, None], tempered, -1.0)
        for f in self._seasonal:
            self._plug_season(f)

    def _plug_season(self, f: int) -> None:
        """Renew a seasonal channel's plug-in alternatives: counts against those its hours led to expect."""
        bets = self._bets[f]
        own, cells = len(bets.probabilities), bets.cell_shares
        if cells is None:
            return
        strength = 2.0 * own * bets.probabilities[:, None]
        ratios = (self._window_counts[f, :own] + strength) / (self._expected(f)[:own] + strength)
        charged = np.log(ratios) - self._plug_charge[f]
        self._log[f, :own, self._fixed :] = charged * bets.exponent
        self._log[f, own : own + len(cells), self._fixed :] = -bets.exponent * np.log(cells @ ratios)

    def snapshot(self) -> bytes:
        """Return the whole state as bytes, equal for equal histories."""
        return msgspec.msgpack.encode(
            _State(
                identity=self._identity,
                channels=self.channels,
                events=self.events,
                slot=self._slot,
                block_events=self._block_events,
                arrays={
                    name: array.astype(array.dtype.newbyteorder("<")).tobytes()
                    for name, array in self._arrays().items()
                },
            )
        )

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot as if there had been no interruption.

        Raises
        ------
        ValueError
            The bytes are not a snapshot, or one of another baseline, budget, set of channels or bets.
        """
        try:
            state = msgspec.msgpack.decode(raw, type=_State)
        except msgspec.DecodeError as error:
            raise ValueError(f"the bytes are not a detector's snapshot: {error}") from error
        if (state.identity, state.channels) != (self._identity, self.channels):
            raise ValueError("the snapshot is of a detector of another baseline, false-alarm budget or bets")
        for name, array in self._arrays().items():
            stored = np.frombuffer(state.arrays[name], array.dtype.newbyteorder("<"))
            if stored.size != array.size:
                raise ValueError("the snapshot is of a detector with other bets: another version wrote it")
            array[...] = stored.reshape(array.shape)
        self.events, self._slot = state.events, state.slot
        self._block_events = state.block_events

    def with_budget(self, events_between_alarms: float) -> Detector:
        """Return a detector of the same channels that has seen the same, under another budget.

        Evidence is kept: stakes do not depend on the budget, only prices and the threshold do.
        """
        other = Detector(self._bets, events_between_alarms, self._fingerprint)
        state = msgspec.msgpack.decode(self.snapshot(), type=_State)
        other.restore(msgspec.msgpack.encode(msgspec.structs.replace(state, identity=other._identity)))
        return other

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return every array that changes, by name; the plug-in columns as they were bet on last."""
        return {
            "wealth": self._wealth,
            "rise": self._rise,
            "since": self._since,
            "window_counts": self._window_counts,
            "window_events": self._window_events,
            "block": self._block,
            "forget": self._forget,
            "plug_in": self._log[:, :, self._fixed :],
        }


class _State(msgspec.Struct, frozen=True):
    identity: str
    channels: tuple[str, ...]
    events: int
    slot: int
    block_events: int
    arrays: dict[str, bytes]
