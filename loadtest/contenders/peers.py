"""The peers: the programs of ``loadtest/peers``, each started by its own environment's Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from loadtest.contenders.contender import Contender, Job, Launch
from loadtest.errors import LoadTestError
from loadtest.models import ModelName
from loadtest.peers.environments import environment, install, python_of

PROGRAMS = Path(__file__).parents[1] / "peers"
FAUST_SHARE = 0.1


def peers() -> list[Contender]:
    """Return every peer, the fastest first."""
    return [
        _peer("Bytewax", "bytewax", _bytewax, "logistic"),
        _peer("Bytewax", "bytewax", _bytewax, "trees"),
        _peer("Quix Streams, no model", "quixstreams", _quix, None),
        _peer("Quix Streams", "quixstreams", _quix, "logistic", share=0.3),
        _peer("Faust", "faust", _faust, "logistic", share=FAUST_SHARE),
    ]


def _peer(
    title: str, package: str, launch: Callable[[Job], Launch], model: ModelName | None, share: float = 1.0
) -> Contender:
    def unavailable() -> str | None:
        try:
            install(package)  # on first use
        except LoadTestError as error:
            return str(error)
        return None

    return Contender(
        name=f"{title}, {model}" if model else title,
        kind="peer",
        launch=launch,
        model=model,
        progress="written",
        share=share,
        unavailable=unavailable,
    )


def _environment(job: Job) -> dict[str, str]:
    return job.environment() | {"PYTHONPATH": "", "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}


def _bytewax(job: Job) -> Launch:
    # As in its documentation: the flow is a file, one worker, no recovery store.
    program = str(PROGRAMS / "bytewax_flow.py")
    return Launch([str(python_of("bytewax")), "-m", "bytewax.run", program], _environment(job))


def _quix(job: Job) -> Launch:
    return Launch([str(python_of("quixstreams")), str(PROGRAMS / "quix_app.py")], _environment(job))


def _faust(job: Job) -> Launch:
    command = [
        str(environment("faust") / "bin" / "python"), str(PROGRAMS / "faust_app.py"), "--datadir",
        str(job.folder / "faust"), "worker", "--loglevel", "warn", "--web-port", str(job.port),
    ]  # fmt: skip
    return Launch(command, _environment(job))
