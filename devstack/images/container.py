"""One container of an image, run as production would: started, asked to end, and what it said."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError
from devstack.images.engine import Engine

STOP_SECONDS = 40.0
_LINES = 15


@dataclass(frozen=True, slots=True)
class Container:
    """A container that was started.

    Attributes
    ----------
    began
        When, by the monotonic clock.
    """

    engine: Engine
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    began: float

    def check(self) -> None:
        """Raise if it has ended by itself."""
        if self.process.poll() is not None:
            raise DevstackError(f"the container ended:\n{self.said()}")

    def said(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LINES:])

    async def ended(self, seconds: float) -> int:
        """Return the exit code once it has ended by itself."""
        try:
            return await asyncio.to_thread(self.process.wait, seconds)
        except subprocess.TimeoutExpired as error:
            raise DevstackError(f"still running after {seconds:.0f} s:\n{self.said()}") from error

    async def end(self) -> tuple[float, int]:
        """Send SIGTERM; return how many seconds it took to end, and its exit code."""
        asked = time.monotonic()
        await asyncio.to_thread(self.engine.signal, self.name, "TERM")
        code = await self.ended(STOP_SECONDS)
        return time.monotonic() - asked, code


@asynccontextmanager
async def container(
    engine: Engine,
    tag: str,
    folder: Path,
    environment: Mapping[str, str],
    *,
    mounts: Sequence[str] = (),
    entrypoint: str | None = None,
    arguments: Sequence[str] = (),
) -> AsyncIterator[Container]:
    """Run an image until the block ends."""
    name = f"driftline-{secrets.token_hex(4)}"
    log = folder / f"{name}.log"
    command = engine.run_command(tag, name, environment, mounts, entrypoint)
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen([*command, *arguments], stdout=out, stderr=subprocess.STDOUT)  # noqa: ASYNC220 - returns at once
    try:
        yield Container(engine, name, process, log, began)
    finally:
        await asyncio.to_thread(engine.remove, name)
        process.kill()
        process.wait()
