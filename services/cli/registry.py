"""``driftline models register|list|show|history|rollback|candidate``: the registry by hand."""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from services.cli import registry_view as view
from services.cli.bundle_stream import unpacked
from services.cli.connection import CliSettings
from shared.errors import RegistryError
from shared.registry import HistoryEntry, Pointers, RedisRegistry, VersionInfo
from shared.settings import ServiceSettings, load_settings

T = TypeVar("T")
Command = Callable[..., None]


_OPTIONS = (
    ("--redis-url", "redis_url", "URL", "Redis with the registry's pointers."),
    ("--redis-prefix", "redis_prefix", "TEXT", "In front of every Redis key of the registry."),
    ("--bundle-store", "bundle_store", "PLACE", "Directory or fsspec URL of the bundles."),
    ("--cache-dir", "cache_dir", "FOLDER", "Where bundles of a remote store are kept."),
)


_KAFKA_OPTIONS = (
    ("--bootstrap-servers", "kafka_bootstrap_servers", "HOST:PORT,...", "Brokers, for the shadow's reports."),
    ("--topic-prefix", "topic_prefix", "TEXT", "Before every topic name."),
)


class RegistrySettings(CliSettings):
    """The settings of the services, of which most of the registry's commands need no broker."""

    kafka_bootstrap_servers: str = "127.0.0.1:9092"


@dataclass(frozen=True)
class Connection:
    """Where the registry is; each command opens it once."""

    settings: RegistrySettings

    def run(self, work: Callable[[RedisRegistry], Awaitable[T]]) -> T:
        """Return what ``work`` returns, given an open registry."""
        return asyncio.run(self.opened(work))

    async def opened(self, work: Callable[[RedisRegistry], Awaitable[T]]) -> T:
        """Open the registry for ``work``, inside of a running loop."""
        async with open_registry(self.settings) as registry:
            return await work(registry)


def open_registry(settings: ServiceSettings) -> RedisRegistry:
    """Return the registry that the settings name, not yet entered."""
    return RedisRegistry(
        settings.redis_url.get_secret_value(),
        settings.bundle_store,
        settings.cache_dir.expanduser(),
        settings.redis_prefix,
    )


def connected(command: Command, *, kafka: bool = False) -> Command:
    """Add the options that say where the registry is; the command takes them as ``connection``.

    They are the services' own settings, read from the same variables and file, so that a model is
    never registered in one place and served from another.
    """

    options = (*_OPTIONS, *_KAFKA_OPTIONS) if kafka else _OPTIONS

    @functools.wraps(command)
    def wrapped(*args: Any, **given: Any) -> None:
        overrides = {key: given.pop(key) for _, key, _, _ in options}
        settings = load_settings(RegistrySettings, overrides=overrides)
        command(*args, connection=Connection(settings), **given)

    for flag, key, metavar, text in reversed(options):
        wrapped = click.option(flag, key, metavar=metavar, help=f"{text} (DRIFTLINE_{key.upper()})")(wrapped)
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
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, allow_dash=True))
@click.option("--promote", "promote_too", is_flag=True, help="Make it champion as well.")
@signed(why_required=False)
@connected
def register(bundle: Path, promote_too: bool, who: str, why: str, connection: Connection) -> None:
    """Upload the bundle in directory BUNDLE (-: a tar archive on standard input) and record its version."""

    async def work(registry: RedisRegistry) -> tuple[VersionInfo, HistoryEntry | None]:
        info = await registry.register(directory, who=who, why=why)
        if not promote_too:
            return info, None
        return info, await registry.promote(info.model, info.version, who=who, why=why)

    piped = str(bundle) == "-"
    if not piped and not bundle.is_dir():
        raise click.BadParameter(f"{bundle} is no directory", param_hint="BUNDLE")
    with unpacked(click.get_binary_stream("stdin")) if piped else nullcontext(bundle) as directory:
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
