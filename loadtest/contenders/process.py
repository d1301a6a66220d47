"""A contender's process: started, watched, stopped; nothing of it outlives the harness."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.part import Part
from devstack.ports import Ports
from loadtest.contenders.contender import Contender, Job
from loadtest.models import Model

STOP_SECONDS = 15.0


@contextmanager
def a_job(bootstrap_servers: str, model: Model | None) -> Iterator[Job]:
    """Give one run its prefix, scratch folder and port, and take folder and port back."""
    ports = Ports()
    try:
        with tempfile.TemporaryDirectory(prefix="driftline-loadtest-", ignore_cleanup_errors=True) as folder:
            prefix = f"lt{secrets.token_hex(3)}-"
            yield Job(bootstrap_servers, prefix, model, Path(folder), ports.reserve())
    finally:
        ports.release()


@contextmanager
def running(contender: Contender, job: Job) -> Iterator[Part]:
    """Run a contender under a warden, which ends it even where the harness is killed."""
    launch = contender.launch(job)
    name = contender.kind
    part = Part(name, launch.command, job.folder, environment=launch.environment)
    part.launch()
    try:
        yield part
    finally:
        part.stop(STOP_SECONDS)
