"""What the shadow and the gates add to the verdict: the better version is promoted, the mistake refused."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from devstack.demo.contract import GATES
from devstack.demo.contribution import Contribution
from devstack.demo.recipes import CANDIDATE, MISTAKE
from devstack.demo.state import Run
from devstack.demo.story import APPEAR_AFTER, DECIDED_AFTER, MISTAKE_AFTER
from shared.bundle.read import load_bundle
from shared.promotion import judge_candidate

_WIDTH: Final = 120


def shadow_contribution(run: Run) -> Contribution:
    """Return how the newer versions fared; in a run that was long enough both must be decided about."""
    promoted = [told.model_version for told in run.shadow.decided("promoted")]
    refused = [told.model_version for told in run.shadow.decided("refused")]
    better = run.challenger(CANDIDATE.name)
    evidence = run.shadow.of(better, run.model.version) if better else None
    facts = {
        "agreement": _rounded(evidence.agreement if evidence else None),
        "win_rate": _rounded(evidence.win_rate if evidence else None),
        "promoted": promoted[-1] if promoted else None,
        "refused": refused[-1] if refused else None,
    }
    return Contribution(facts, list(_problems(run, promoted, refused)), list(_remarks(run)))


def settled(run: Run) -> bool:
    """Return whether nothing is to be waited for: all is decided that can be, and the registry agrees."""
    if run.champion != run.shadow.champion(run.model.version):
        return False
    decided = bool(run.shadow.decided("promoted")) and bool(run.shadow.decided("refused"))
    return decided or not run.challengers or run.events < DECIDED_AFTER


def _problems(run: Run, promoted: list[str], refused: list[str]) -> Iterator[str]:
    better, mistake = run.challenger(CANDIDATE.name), run.challenger(MISTAKE.name)
    if mistake in promoted:
        yield f"the deliberately wrong version {mistake} was promoted"
    if better in refused:
        yield f"the better version {better} was refused"
    yield from (
        f"{told.model_version} was rolled back: {told.reason}" for told in run.shadow.decided("rolled-back")
    )
    if run.events < DECIDED_AFTER or not run.challengers or not run.begins_as_told:
        return
    if better not in promoted:
        yield f"the better version {better} was not promoted: {_state(run, better)}"
    if mistake not in refused:
        yield f"the deliberately wrong version {mistake} was not refused: {_state(run, mistake)}"
    yield from (
        f"{told.model_version} was refused without the name of a segment: {told.reason}"
        for told in run.shadow.decided("refused")
        if told.model_version == mistake and "; segment " not in told.reason
    )


def _state(run: Run, version: str | None) -> str:
    """Return how the gates stand on a version against the present champion."""
    champion = run.champion or run.model.version
    evidence = None if version is None else run.shadow.of(version, champion)
    if evidence is None:
        return f"nothing compares it with {champion}"
    verdict = judge_candidate(evidence, load_bundle(run.model.bundle).spec, GATES)
    return f"against {champion} the gates {verdict.state}: {verdict.reason}"


def _remarks(run: Run) -> Iterator[str]:
    for told in (*run.shadow.decided("promoted"), *run.shadow.decided("refused")):
        text = f"{told.model_version} was {told.decision} by the gates: {told.reason}"
        yield textwrap.fill(text, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    if run.events < DECIDED_AFTER and not run.shadow.decisions:
        when = f"{MISTAKE_AFTER:,} and {APPEAR_AFTER:,} events (SECONDS=60 at the usual rate shows all of it)"
        yield f"no newer version was decided about: two appear in the shadow after {when}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
