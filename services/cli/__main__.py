"""``driftline``: the command line. Commands load on use, so that ``--help`` is quick."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Sequence
from typing import Any

import click

from shared.errors import ConfigError, ServiceError

_COMMANDS: dict[str, dict[str, str]] = {
    "models": {
        "package": "services.cli.bundles:package",
        "inspect": "services.cli.bundles:inspect",
        "validate": "services.cli.bundles:validate",
        "register": "services.cli.registry:register",
        "list": "services.cli.registry:list_models",
        "show": "services.cli.registry:show",
        "history": "services.cli.registry:history",
        "promote": "services.cli.promoting:promote",
        "canary": "services.cli.promoting:canary",
        "rollback": "services.cli.registry:rollback",
        "candidate": "services.cli.registry:candidate",
    },
    "topics": {
        "create": "services.cli.topics:create",
        "list": "services.cli.topics:list_topics",
        "access": "services.cli.topics:access",
    },
    "events": {"send": "services.cli.events:send"},
    "predictions": {"tail": "services.cli.predictions:tail"},
    "shadow": {"report": "services.cli.shadow:report"},
    "drift": {
        "status": "services.cli.drift_reports:status",
        "show": "services.cli.drift_reports:show",
        "report": "services.cli.drift_reports:report",
        "replay": "services.cli.drift_replay:replay",
        "baseline": "services.cli.drift_baseline:baseline",
        "simulate": "services.cli.drift_simulate:simulate",
    },
    "alerts": {
        "list": "services.cli.alerts:list_alerts",
        "show": "services.cli.alerts:show",
        "silence": "services.cli.alerts:silence",
        "redeliver": "services.cli.alerts_delivery:redeliver",
        "test-receiver": "services.cli.alerts_delivery:test_receiver",
        "rules": "services.cli.alerts_rules:rules",
    },
    "performance": {
        "status": "services.cli.performance:status",
        "report": "services.cli.performance:report",
    },
    "dead-letters": {
        "list": "services.cli.dead_letters:list_letters",
        "show": "services.cli.dead_letters:show",
        "replay": "services.cli.dead_letters_replay:replay",
    },
}
_GROUP_HELP = {
    "models": "Package, check, register, promote and roll back models.",
    "topics": "Create and list Driftline's topics, and say who needs which.",
    "events": "Send events from a terminal.",
    "predictions": "Watch predictions in a terminal.",
    "shadow": "See candidates beside the champion, and what the gates say.",
    "drift": "See what has drifted, and what a change would take to find.",
    "performance": "See how good the versions are, and were estimated to be.",
    "alerts": "Look at alerts, silence them, test rules and receivers.",
    "dead-letters": "Look at refused events, and send them again.",
}
_TOP_LEVEL = {
    "doctor": ("services.cli.doctor:doctor", "Check everything the services stand on, and say what to do."),
}
SERVICES = (
    "alerting",
    "drift",
    "inference",
    "performance",
    "shadow",
)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def __init__(self, name: str, targets: dict[str, str], **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._targets = targets

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order they are declared."""
        return [*self._targets, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command, importing it now."""
        if cmd_name not in self._targets:
            return super().get_command(ctx, cmd_name)
        return _load(self._targets[cmd_name])


class LazyCommand(click.Command):
    """A command that is imported when it is run or asked for its help, not when it is listed."""

    def __init__(self, name: str, target: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._target = target

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Hand over to the real command: click invokes whatever the context belongs to."""
        return _load(self._target).make_context(*args, **kwargs)


def _load(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="driftline", prog_name="driftline")
def cli() -> None:
    """Keep machine-learning models honest in production, on Kafka."""


for _name, _targets in _COMMANDS.items():
    cli.add_command(LazyGroup(_name, _targets, help=_GROUP_HELP[_name]))
for _name, (_target, _help) in _TOP_LEVEL.items():
    cli.add_command(LazyCommand(_name, _target, _help))


# What follows the name of the service is the service's own, `--help` too.
@cli.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("service", type=click.Choice(SERVICES))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(service: str, arguments: tuple[str, ...]) -> None:
    """Run a service in this process.

    `driftline run inference --help` lists the settings of one.
    """
    sys.argv = [f"driftline run {service}", *arguments]
    runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error is one line, and the exit code says whose fault it is."""
    try:
        cli(arguments, standalone_mode=True)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"driftline: {problem}", err=True)
        sys.exit(2)
    except ServiceError as error:
        click.echo(f"driftline: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
