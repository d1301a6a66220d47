from __future__ import annotations

import subprocess
import sys

import click
import pytest

from services.cli.__main__ import cli


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        inner = command.list_commands(click.Context(command)) if isinstance(command, click.Group) else []
        found += [(name, sub) for sub in inner] or [(name,)]
    return found


@pytest.mark.parametrize("path", [path for path in commands() if path != ("run",)], ids=" ".join)
def test_every_command_is_there_and_explains_itself(path: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *path, "--help"], capture_output=True, text=True, check=True
    )
    assert "Usage:" in done.stdout


def test_help_loads_no_client() -> None:
    code = (
        "import sys; from services.cli.__main__ import cli; cli(['--help'], standalone_mode=False); "
        "print(sorted({'aiokafka', 'redis', 'rich', 'numpy', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
