"""``driftline models promote|canary``: by a person's word, or by what the gates say."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import click

from services.cli import registry_view as view
from services.cli.connection import Connection as KafkaConnection
from services.cli.registry import Connection, connected, known, repeatable, signed
from services.cli.shadow_reading import Compared, read_shadow
from shared.errors import RegistryError, ServiceError
from shared.promotion import Verdict
from shared.promotion.act import carry_out
from shared.promotion.rule import promotion
from shared.registry import HistoryEntry, RedisRegistry


@click.command()
@click.argument("model")
@click.argument("version")
@click.option(
    "--if-gates-pass", is_flag=True, help="Only if the gates of model.toml pass; they then say why."
)
@repeatable
@signed(why_required=False)
@partial(connected, kafka=True)
def promote(
    model: str,
    version: str,
    if_gates_pass: bool,
    connection: Connection,
    request_id: str | None,
    why: str,
    **options: Any,
) -> None:
    """Make VERSION the champion of MODEL.

    With --if-gates-pass the shadow's reports decide; the old champion then stays as candidate for the
    probation that model.toml declares. Exit code 1 where a gate fails or waits for more.
    """
    if if_gates_pass and request_id:
        raise click.UsageError(
            "--request-id does not go with --if-gates-pass: what the gates decide has an identity of its own "
            "and happens once, however often it is asked for."
        )
    if if_gates_pass:
        _by_gates(connection, model, version, why, options)
        return
    if not why:
        raise click.UsageError("Missing option '--why' / '-m': a person's promotion needs a reason.")
    own = request_id or uuid.uuid4().hex
    entry = connection.run(
        lambda registry: registry.promote(model, version, request_id=own, why=why, **options)
    )
    if entry.request_id == own:
        view.print_line(view.sentence(entry))
    else:
        view.print_line(f"{model} {version} is the champion already, since {entry}.")


def _by_gates(connection: Connection, model: str, version: str, why: str, options: dict[str, Any]) -> None:
    """Promote if the gates pass, print what they say, and exit 1 where they do not."""
    kafka = KafkaConnection(connection.settings)

    async def work(registry: RedisRegistry) -> tuple[Verdict, HistoryEntry | None] | HistoryEntry:
        return await promote_by_gates(kafka, registry, model, version, why=why, **options)

    found = kafka.run(connection.opened(work))
    if isinstance(found, HistoryEntry):
        view.print_line(f"{model} {version} is the champion already, since {found}.")
        return
    verdict, entry = found
    for gate in verdict.gates:
        view.print_line(f"{gate.state:<5}{gate.name}: {gate.sentence}")
    if entry is None:
        how = "a gate fails" if verdict.state == "fail" else "a gate waits for more"
        raise ServiceError(f"{model} {version} was not promoted: {how}")
    view.print_line(view.sentence(entry))


async def promote_by_gates(
    kafka: KafkaConnection,
    registry: RedisRegistry,
    model: str,
    version: str,
    *,
    who: str,
    why: str = "",
    expect_revision: int | None = None,
) -> tuple[Verdict, HistoryEntry | None] | HistoryEntry:
    """Return what the gates say and the promotion that followed, or how the version is champion already.

    The change has the same identity as the one that the rule would make on the same comparison, so
    that a person and the rule together promote once.

    Raises
    ------
    RegistryError
        The version is no candidate, there are no gates, or the model changed meanwhile.
    """
    pointers = await known(registry, model)
    if pointers.champion == version:
        history = await registry.history(model)
        return next(entry for entry in history if entry.revision == pointers.champion_revision)
    if version not in pointers.candidates:
        raise RegistryError(
            f"version {version} of {model} is no candidate, so nothing was compared: "
            f"driftline models candidate set {model} {version}"
        )
    if expect_revision is not None and pointers.revision != expect_revision:
        raise RegistryError(f"{model} is at revision {pointers.revision}, not {expect_revision}")
    shadow = await read_shadow(kafka, registry, model)
    compared = shadow.of_candidate(version)
    verdict = _judged(compared)
    if verdict.state != "pass":
        return verdict, None
    assert compared.comparison is not None
    assert compared.gates is not None
    act = promotion(compared.comparison, verdict, compared.gates, why=why)
    return verdict, await carry_out(registry, act, shadow.standing, who=who)


def _judged(compared: Compared) -> Verdict:
    pair = compared.pair
    if compared.role == "probation":
        raise RegistryError(
            f"{pair.candidate} is the predecessor of {pair.champion}, which is in probation: "
            f"driftline models rollback {pair.model}"
        )
    if compared.verdict is None:
        raise RegistryError(
            f"neither the champion {pair.champion} nor the candidate {pair.candidate} of {pair.model} "
            "declares gates in its model.toml"
        )
    return compared.verdict


@click.command()
@click.argument("model")
@click.argument("version")
@click.option(
    "--percent",
    type=click.FloatRange(0, 100),
    required=True,
    help="Share of the keys that VERSION answers in the champion's place; 0 ends it.",
)
@repeatable
@signed(why_required=False)
@connected
def canary(model: str, version: str, percent: float, connection: Connection, **options: Any) -> None:
    """Let candidate VERSION of MODEL answer a share of the traffic.

    The same keys go to it at every percentage below, so that a larger share only adds keys. A gate that
    fails takes the share away again.
    """

    async def work(registry: RedisRegistry) -> HistoryEntry:
        if percent > 0:
            return await registry.set_canary(model, version, percent=percent, **options)
        pointers = await known(registry, model)
        if pointers.canary is None or pointers.canary.version != version:
            raise RegistryError(f"version {version} of {model} answers no traffic")
        return await registry.remove_canary(model, **options)

    view.print_line(view.sentence(connection.run(work)))
