"""A service as a real process: started, watched through its own health endpoint, stopped."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack.part import Part
from devstack.ports import Ports
from tests.streams import until

_PORTS = Ports()


_FASTER = """
import runpy, sys, time
faster, name = int(sys.argv.pop(1)), sys.argv.pop(1)
real, begun = time.time, time.time()
time.time = lambda: begun + faster * (real() - begun)
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""


class ServiceProcess:
    """One ``python -m services.NAME`` with its settings in the environment.

    ``faster`` makes its clock go so many times faster than ours, from the same moment on; its timers do not.
    """

    def __init__(self, name: str, folder: Path, settings: dict[str, str], *, faster: int = 1) -> None:
        port = _PORTS.reserve()
        self.url = f"http://127.0.0.1:{port}"
        self.part = Part(
            f"{name}-{port}",
            [sys.executable, *(["-m"] if faster == 1 else ["-c", _FASTER, str(faster)]), f"services.{name}"],
            folder,
            environment=settings | {"DRIFTLINE_HTTP_PORT": str(port)},
        )

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET; status 0 while nothing listens."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    async def ready(self, seconds: float = 60) -> None:
        """Wait until the service says it is ready."""

        async def is_ready() -> bool:
            assert self.part.running, self.part.explain()
            return (await self.get("/readyz"))[0] == 200

        await until(is_ready, seconds=seconds, what=f"readiness of {self.url}")

    async def checks(self) -> dict[str, Any]:
        """The named checks of ``/readyz``."""
        checks: dict[str, Any] = json.loads((await self.get("/readyz"))[1])["checks"]
        return checks

    async def metric(self, sample: str) -> float:
        """The value of one line of ``/metrics``, by its name and labels as printed; 0 if absent."""
        lines = (await self.get("/metrics"))[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample)

    def log_lines(self) -> list[dict[str, Any]]:
        """Every JSON line logged so far."""
        lines = self.part.log_tail(1_000_000).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def service(
    name: str, folder: Path, settings: dict[str, str], *, faster: int = 1
) -> Iterator[ServiceProcess]:
    """A running service; killed at the end. A test that fails shows what the service logged last."""
    process = ServiceProcess(name, folder, settings, faster=faster)
    process.part.launch()
    try:
        yield process
    except BaseException:
        print(process.part.explain(), file=sys.stderr)
        raise
    finally:
        process.part.kill()
