"""The peers: the programs of ``loadtest/peers``, each started by its own environment's Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from loadtest.contenders.contender import Contender, Job, Launch
from loadtest.errors import LoadTestError
from loadtest.models import ModelName
from loadtest.peers.environments import environment, install, python_of

PROGRAMS = Path(__file__).parents[1] / "peers"
FAUST_SHARE = 0.1
MLSERVER_ROWS = 1_000


def peers() -> list[Contender]:
    """Return every peer; MLServer, which reads no Kafka, is a yardstick at the end."""
    return [
        _peer("Bytewax", "bytewax", _bytewax, "logistic"),
        _peer("Bytewax", "bytewax", _bytewax, "trees"),
        _peer("Quix Streams, no model", "quixstreams", _quix, None),
        _peer("Quix Streams", "quixstreams", _quix, "logistic", share=0.3),
        _peer("FastStream", "faststream", _faststream, "logistic"),
        _peer("FastStream", "faststream", _faststream, "trees"),
        _peer("Faust", "faust", _faust, "logistic", share=FAUST_SHARE),
        _over_rest(1, share=0.01),
        _over_rest(MLSERVER_ROWS, share=0.3),
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


def _over_rest(rows: int, share: float) -> Contender:
    title = f"MLServer REST, {rows:,} {'row' if rows == 1 else 'rows'} a request"
    return replace(_peer(title, "mlserver", _mlserver, "logistic", share=share), rows_per_request=rows)


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
        str(job.folder / "faust"), "--loop", "uvloop", "worker",
        "--loglevel", "warn", "--web-port", str(job.port),
    ]  # fmt: skip
    return Launch(command, _environment(job))


def _faststream(job: Job) -> Launch:
    return Launch([str(python_of("faststream")), str(PROGRAMS / "faststream_app.py")], _environment(job))


def _mlserver(job: Job) -> Launch:
    # One process without workers, and requests put together as its documentation on adaptive batching has it.
    folder = job.folder / "mlserver"
    folder.mkdir()
    server = {
        "host": "127.0.0.1",
        "http_port": job.port,
        "grpc_port": 0,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": "loadtest",
        "implementation": "mlserver_runtime.OnnxScorer",
        "max_batch_size": 100,
        "max_batch_time": 0.01,
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
    program = str(environment("mlserver") / "bin" / "mlserver")
    return Launch([program, "start", str(folder)], _environment(job) | {"PYTHONPATH": str(PROGRAMS)})
