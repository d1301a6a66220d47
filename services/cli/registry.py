"""``driftline models register|list|show|history|promote|rollback|candidate``: the registry by hand."""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from services.cli import registry_view as view
from shared.errors import RegistryError
from shared.registry import HistoryEntry, Pointers, RedisRegistry, VersionInfo

T = TypeVar("T")
Command = Callable[..., None]


@dataclass(frozen=True)
class Connection:
    """Where the registry is; each command opens it once."""

    redis_url: str
    bundle_store: str
    bundle_cache: Path
    registry_prefix: str

    def run(self, work: Callable[[RedisRegistry], Awaitable[T]]) -> T:
        """Return what ``work`` returns, given an open registry."""

        async def opened() -> T:
            async with RedisRegistry(
                self.redis_url, self.bundle_store, self.bundle_cache, self.registry_prefix
            ) as registry:
                return await work(registry)

        return asyncio.run(opened())


def _setting(name: str, default: Any, text: str, **options: Any) -> Callable[[Command], Command]:
    variable = "DRIFTLINE_" + name.upper().replace("-", "_")
    return click.option(
        f"--{name}",
        envvar=variable,
        show_envvar=True,
        default=default,
        show_default=True,
        help=text,
        **options,
    )


def connected(command: Command) -> Command:
    """Add the options that say where the registry is; the command takes them as ``connection``."""

    @_setting("redis-url", "redis://127.0.0.1:6379/0", "Redis with the registry's pointers.")
    @_setting("bundle-store", "/var/lib/driftline/bundles", "Directory or fsspec URL of the bundles.")
    @_setting(
        "bundle-cache",
        Path("~/.cache/driftline/bundles"),
        "Where bundles of a remote store are kept.",
        type=click.Path(path_type=Path),
    )
    @_setting("registry-prefix", "driftline:", "In front of every Redis key of the registry.")
    @functools.wraps(command)
    def wrapped(
        *args: Any, redis_url: str, bundle_store: str, bundle_cache: Path, registry_prefix: str, **kwargs: Any
    ) -> None:
        connection = Connection(redis_url, bundle_store, bundle_cache.expanduser(), registry_prefix)
        command(*args, connection=connection, **kwargs)

    return wrapped


def signed(*, why_required: bool) -> Callable[[Command], Command]:
    """Add the options that the history needs: who and why."""

    def decorate(command: Command) -> Command:
        optional: dict[str, Any] = {} if why_required else {"default": ""}
        command = click.option(
            "--why", "-m", required=why_required, help="Why; kept in the history.", **optional
        )(command)
        return click.option(
            "--who", default=default_who, show_default="user@host", help="Who; kept in the history."
        )(command)

    return decorate


def repeatable(command: Command) -> Command:
    """Add the options that make a change safe to repeat and to race."""
    command = click.option(
        "--expect-revision",
        type=click.IntRange(min=0),
        help="Refuse if the model is at another revision by now.",
    )(command)
    return click.option(
        "--request-id", help="Repeat a change whose outcome is unknown: it happens once under one id."
    )(command)


as_json = click.option("--json", "json_output", is_flag=True, help="Print JSON.")


def default_who() -> str:
    """Return ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--promote", "promote_too", is_flag=True, help="Make it champion as well.")
@signed(why_required=False)
@connected
def register(bundle: Path, promote_too: bool, who: str, why: str, connection: Connection) -> None:
    """Upload the bundle in directory BUNDLE and record its version."""

    async def work(registry: RedisRegistry) -> tuple[VersionInfo, HistoryEntry | None]:
        info = await registry.register(bundle, who=who, why=why)
        if not promote_too:
            return info, None
        return info, await registry.promote(info.model, info.version, who=who, why=why)

    info, promoted = connection.run(work)
    view.print_line(f"{info.model} {info.version} is registered (digest {info.digest[:12]}).")
    if promoted is not None:
        view.print_line(view.sentence(promoted))
    else:
        view.print_line(f"Make it champion: driftline models promote {info.model} {info.version} -m WHY")


@click.command("list")
@as_json
@connected
def list_models(json_output: bool, connection: Connection) -> None:
    """List every model with its champion and candidates."""

    async def work(registry: RedisRegistry) -> list[tuple[Pointers, tuple[VersionInfo, ...]]]:
        return [(await registry.pointers(m), await registry.versions(m)) for m in await registry.models()]

    found = connection.run(work)
    if json_output:
        view.print_json([view.summary(pointers, versions) for pointers, versions in found])
    elif found:
        view.print_models(found)
    else:
        view.print_line("The registry is empty. Register a bundle: driftline models register BUNDLE")


@click.command()
@click.argument("model")
@as_json
@connected
def show(model: str, json_output: bool, connection: Connection) -> None:
    """Show a model's versions and which of them serve."""

    async def work(registry: RedisRegistry) -> tuple[Pointers, tuple[VersionInfo, ...]]:
        return await known(registry, model), await registry.versions(model)

    pointers, versions = connection.run(work)
    if json_output:
        view.print_json(view.summary(pointers, versions))
    else:
        view.print_versions(pointers, versions)


@click.command()
@click.argument("model")
@click.option(
    "--limit", "-n", type=click.IntRange(min=1), default=20, show_default=True, help="Newest changes."
)
@as_json
@connected
def history(model: str, limit: int, json_output: bool, connection: Connection) -> None:
    """Show who changed a model, when and why, newest first."""

    async def work(registry: RedisRegistry) -> tuple[HistoryEntry, ...]:
        await known(registry, model)
        return await registry.history(model, limit)

    entries = connection.run(work)
    if json_output:
        view.print_json(entries)
    else:
        view.print_history(entries)


@click.command()
@click.argument("model")
@click.argument("version")
@repeatable
@signed(why_required=True)
@connected
def promote(model: str, version: str, connection: Connection, request_id: str | None, **options: Any) -> None:
    """Make VERSION the champion of MODEL."""
    own = request_id or uuid.uuid4().hex
    entry = connection.run(lambda registry: registry.promote(model, version, request_id=own, **options))
    if entry.request_id == own:
        view.print_line(view.sentence(entry))
    else:
        view.print_line(f"{model} {version} is the champion already, since {entry}.")


@click.command()
@click.argument("model")
@repeatable
@signed(why_required=True)
@connected
def rollback(model: str, connection: Connection, **options: Any) -> None:
    """Make the predecessor of MODEL's champion the champion again."""
    entry = connection.run(lambda registry: registry.rollback(model, **options))
    view.print_line(view.sentence(entry))


@click.group()
def candidate() -> None:
    """Choose which versions run in the shadow."""


@candidate.command("set")
@click.argument("model")
@click.argument("version")
@repeatable
@signed(why_required=False)
@connected
def set_candidate(model: str, version: str, connection: Connection, **options: Any) -> None:
    """Make VERSION a candidate of MODEL."""
    entry = connection.run(lambda registry: registry.set_candidate(model, version, **options))
    view.print_line(view.sentence(entry))


@candidate.command("remove")
@click.argument("model")
@click.argument("version")
@repeatable
@signed(why_required=False)
@connected
def remove_candidate(model: str, version: str, connection: Connection, **options: Any) -> None:
    """Take VERSION out of MODEL's candidates."""
    entry = connection.run(lambda registry: registry.remove_candidate(model, version, **options))
    view.print_line(view.sentence(entry))


async def known(registry: RedisRegistry, model: str) -> Pointers:
    """Return the pointers of a model.

    Raises
    ------
    RegistryError
        The registry does not know it; the message lists what it knows.
    """
    pointers = await registry.pointers(model)
    if pointers.revision == 0:
        names = ", ".join(await registry.models())
        raise RegistryError(
            f"the registry does not know the model {model}"
            + (f"; it knows {names}" if names else ", it is empty")
        )
    return pointers
