"""What the service knows of a model version: the part of its bundle that labels are judged by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import Final

import msgspec

from services.performance.packets import as_text
from services.performance.shelf import Shelf
from shared.bundle.baseline import load_baseline
from shared.bundle.read import Bundle, load_bundle
from shared.bundle.spec import Task
from shared.bundle.truth import KpiSpec
from shared.drift.label_baseline import LabelBaseline
from shared.drift.residual_baseline import ResidualBaseline
from shared.drift.stream.groups import shared_channels
from shared.errors import ServiceError
from shared.logs import RateLimit, get_logger
from shared.messages import FeatureValue
from shared.quality.bins import edges_with

log = get_logger(__name__)

DAY_MS: Final = 86_400_000
DEFAULT_HORIZON: Final = 14 * DAY_MS
_SHARE_OF_HORIZON: Final = 56
_STEPS_OF_HORIZON: Final = 1024

_RETRY_SECONDS: Final = 0.5
_COMPLAIN_EVERY: Final = 60.0

Version = tuple[str, str]
"""Model and version."""


class Facts(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What decides how one version's answers are judged; kept with the state, so that a replay agrees.

    Attributes
    ----------
    horizon, window
        Milliseconds: how long labels are waited for, and the length of a window.
    false_alarms_per_30_days
        The drift budget.
    label_baseline
        How often the label was positive in each bin of the score; None where the bundle does not know. It is
        watched where it is calibrated.
    residual_baseline
        What the errors of a regression were like, given its predictions; None where the bundle does not
        know, or it cannot be watched.
    sharing
        How many channels share that budget, label given score among them.
    assumed
        Whether no bundle could be had, so that all of this is assumed.
    """

    model: str
    version: str
    task: Task
    classes: tuple[str, ...] = ()
    threshold: float = 0.5
    horizon: int = DEFAULT_HORIZON
    window: int = DEFAULT_HORIZON // _SHARE_OF_HORIZON
    segments: tuple[str, ...] = ()
    kpis: tuple[KpiSpec, ...] = ()
    false_alarms_per_30_days: float = 1.0
    label_baseline: LabelBaseline | None = None
    residual_baseline: ResidualBaseline | None = None
    sharing: int = 1
    assumed: bool = False

    @cached_property
    def edges(self) -> tuple[float, ...]:
        """Edges of the score bins; the threshold is one of them."""
        if self.task == "regression":
            return ()
        return edges_with(self.threshold) if self.task == "binary" else edges_with(None)

    @cached_property
    def places(self) -> dict[str, int]:
        """Position of each class by its text."""
        return {name: place for place, name in enumerate(self.classes)}

    def window_of(self, occurred_at: int) -> int:
        """Return the start of the window of an event time."""
        return occurred_at - occurred_at % self.window

    def due(self, occurred_at: int) -> int:
        """Return when an answer is done with: its horizon, rounded up so that many end together."""
        horizon, step = self._until_due
        return -(-(occurred_at + horizon) // step) * step

    @cached_property
    def _until_due(self) -> tuple[int, int]:
        """Horizon and step of :func:`due_at`: they are asked for with every answer."""
        horizon = self.horizon + self.horizon // 64 if self.by_entity else self.horizon
        return horizon, _step_of(horizon)

    @cached_property
    def fills_missing(self) -> bool:
        """Whether an outcome that never came counts as something once the horizon has passed."""
        return any(kpi.missing is not None for kpi in self.kpis)

    @cached_property
    def by_entity(self) -> bool:
        """Whether outcomes name entities: they come a little later, by way of the entity's partition."""
        return any(kpi.by == "entity" for kpi in self.kpis)

    def judge(self, truth: FeatureValue) -> str | float | None:
        """Return a label as this model's: the name of a class or a number; None where it is neither.

        Examples
        --------
        >>> facts = Facts(model="m", version="1", task="binary", classes=("on_time", "late"))
        >>> facts.judge(True), facts.judge("on_time"), facts.judge(0), facts.judge("?")
        ('late', 'on_time', 'on_time', None)
        """
        if self.task == "regression":
            return float(truth) if isinstance(truth, int | float) else None
        known = self._judged.get(truth)
        if known is None and (known := self._class_of(truth)) is not None:
            self._judged[truth] = known  # as many as classes can be written in
        return known

    @cached_property
    def _judged(self) -> dict[FeatureValue, str]:
        """Labels that have been judged to be classes."""
        return {}

    def _class_of(self, truth: FeatureValue) -> str | None:
        if isinstance(truth, str) and truth in self.places:
            return truth
        text = as_text(truth)
        if text in self.places:
            return text
        if isinstance(truth, int | float) and truth in (0, 1) and len(self.classes) == 2:
            return self.classes[int(truth)]
        return None


def due_at(occurred_at: int, horizon: int) -> int:
    """Return the end of a horizon, rounded up to a 1024th of it, a second at least."""
    step = _step_of(horizon)
    return -(-(occurred_at + horizon) // step) * step


def until_answered(observed_at: int) -> int:
    """Return until when something waits for its event's first answer: odd, all other moments are even."""
    return due_at(observed_at, DEFAULT_HORIZON) + 1


def _step_of(horizon: int) -> int:
    return max(1_000, horizon // _STEPS_OF_HORIZON // 2 * 2)


def facts_of(bundle: Bundle) -> Facts:
    """Return the facts in a bundle."""
    spec = bundle.spec
    baseline = load_baseline(bundle)
    labels = baseline.labels if baseline is not None and baseline.labels is not None else None
    if labels is not None and not labels.rates_known:
        labels = None
    truths = baseline.truths if baseline is not None else None
    horizon = spec.label_horizon * 1000
    return Facts(
        model=spec.name,
        version=spec.version,
        task=spec.task,
        classes=spec.classes or (("0", "1") if spec.task == "binary" else ()),
        threshold=spec.threshold,
        horizon=horizon,
        window=spec.quality_window * 1000 or _window(spec.window * 1000, horizon),
        segments=spec.segments,
        kpis=spec.kpis,
        false_alarms_per_30_days=spec.false_alarms_per_30_days,
        label_baseline=None if isinstance(truths, ResidualBaseline) else labels,
        residual_baseline=truths if isinstance(truths, ResidualBaseline) else None,
        sharing=shared_channels(
            [(feature.name, str(feature.kind)) for feature in spec.features],
            baseline,
            classes=spec.task != "regression",
        ),
    )


def _window(window: int, horizon: int) -> int:
    """Return the least number of report windows that make a 56th of the horizon.

    All windows within the horizon are open at once, and a minute's answers say little of quality.
    """
    return -(-max(window, horizon // _SHARE_OF_HORIZON) // window) * window


class FactsBook:
    """The facts of every version met, fetched from the registry when one is first met.

    While the registry or its store is away a version that is new is waited for, and with it the partitions
    that speak of it: facts are kept with the state, so what is assumed in a minute's trouble would judge the
    version's labels for good. Facts are assumed only where there is no such bundle, or it cannot be read.

    Parameters
    ----------
    shelf
        Where bundles come from.
    stop
        Ends the waiting.
    """

    def __init__(self, shelf: Shelf, *, stop: asyncio.Event | None = None) -> None:
        self._shelf = shelf
        self._stop = stop
        self.waiting: Callable[[], None] = lambda: None
        """Called while a bundle is waited for, so that the process counts as alive."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._known: dict[Version, Facts] = {}
        self._complaints = RateLimit(_COMPLAIN_EVERY)
        self.trouble: dict[str, str] = {}
        """Why the facts of a model's newest version are assumed, by model."""

    def get(self, model: str, version: str) -> Facts | None:
        """Return the facts of a version that has been met."""
        return self._known.get((model, version))

    def add(self, facts: Facts) -> None:
        """Keep facts that came with the state, unless fresher ones are known already."""
        known = self._known.get((facts.model, facts.version))
        if known is None or known.assumed:
            self._known[facts.model, facts.version] = facts

    async def meet(self, model: str, version: str) -> Facts:
        """Return the facts of a version, fetching its bundle where it is new.

        Raises
        ------
        TransientError
            The registry is away, and the process is to stop.
        """
        if (known := self._known.get((model, version))) is not None:
            return known
        while True:
            try:
                path = await self._shelf.fetch(model, version)
                bundle = await asyncio.to_thread(load_bundle, path)
                facts = await asyncio.to_thread(facts_of, bundle)
                self.trouble.pop(model, None)
                break
            except ServiceError as error:
                self.trouble[model] = f"version {version}: {error}"
                if not error.retriable:
                    log.error(
                        "no bundle to judge labels by, its contract is assumed",
                        model=model,
                        model_version=version,
                        error=str(error),
                    )
                    facts = self._assumed(model, version)
                    break
                if self._stop is not None and self._stop.is_set():
                    raise
                self._complain(model, version, error)
                self.waiting()
                await asyncio.sleep(_RETRY_SECONDS)
        self._known[model, version] = facts
        return facts

    def _complain(self, model: str, version: str, error: ServiceError) -> None:
        if (held := self._complaints.admit()) is not None:
            log.warning(
                "a new version's bundle is waited for, and with it the labels of its partitions",
                model=model,
                model_version=version,
                error=str(error),
                held_back=held,
            )

    def meet_in_thread(self, loop: asyncio.AbstractEventLoop) -> Callable[[str, str], Facts]:
        """Return :meth:`meet` for a worker thread, which waits while ``loop`` goes on."""

        def meet(model: str, version: str) -> Facts:
            known = self._known.get((model, version))
            if known is not None:
                return known
            return asyncio.run_coroutine_threadsafe(self.meet(model, version), loop).result()

        return meet

    def by_entity_in_thread(self, loop: asyncio.AbstractEventLoop) -> Callable[[str, str], bool]:
        """Return whether outcomes of a version name entities, for a worker thread."""
        meet = self.meet_in_thread(loop)
        return lambda model, version: meet(model, version).by_entity

    def _assumed(self, model: str, version: str) -> Facts:
        """Return the facts of another version of the model, or those of a binary model."""
        kin = [facts for (name, _), facts in self._known.items() if name == model]
        like = kin[-1] if kin else Facts(model=model, version=version, task="binary", classes=("0", "1"))
        return msgspec.structs.replace(like, version=version, assumed=True)
