"""Versions of the model that rot on their disk."""

from __future__ import annotations

from devstack.part import Part
from shared.errors import RegistryError
from tests.faults.breaks.choices import EXIT_SECONDS, some_time
from tests.faults.evidence import said
from tests.faults.stage import Stage
from tests.faults.traffic import Traffic
from tests.streams import until


async def corrupt_bundle(stage: Stage, _: Traffic) -> None:
    """A version rots before it is made champion, another one afterwards; then a good one takes over.

    The first is refused. The second answers wherever it was loaded before it rotted, and a process that
    comes only now must refuse it and wait, while the others go on.
    """
    try:
        await stage.publish(corrupt=True)
    except RegistryError as error:
        stage.journal.note("refused", error=str(error))
    else:
        raise AssertionError("a bundle whose bytes have rotted was made champion")
    rotten = await stage.publish()
    for part in stage.fleet.alive("inference"):
        await _serving(part, rotten)
    await some_time(stage, 2, 4)  # the other services read it as well
    stage.spoil(rotten)
    late = stage.fleet.start("inference")
    await until(
        lambda: said(late, "model cannot be loaded, what is loaded stays", model_version=rotten) > 0,
        seconds=EXIT_SECONDS,
        what=f"{late.name} to refuse version {rotten}",
    )
    assert not said(late, "model swapped in"), f"{late.name} serves a bundle whose bytes have rotted"
    await _serving(late, await stage.publish())
    await stage.fleet.stop(late)
    await some_time(stage, 2, 4)


async def _serving(part: Part, version: str) -> None:
    await until(
        lambda: said(part, "model swapped in", model_version=version) > 0,
        seconds=EXIT_SECONDS,
        what=f"{part.name} to serve version {version}",
    )
