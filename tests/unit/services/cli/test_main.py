from __future__ import annotations

import re
import subprocess
import sys

import click
from click.testing import CliRunner

from services.cli.__main__ import cli


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        inner = command.list_commands(click.Context(command)) if isinstance(command, click.Group) else []
        found += [(name, sub) for sub in inner] or [(name,)]
    return found


_EACH_IN_A_PROCESS_OF_ITS_OWN = """
import os, sys, traceback
import aiokafka, numpy, onnxruntime, pydantic_settings, redis.asyncio, rich.live, scipy.special
from services.cli.__main__ import cli
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            cli([*line.split(), "--help"], prog_name="driftline", standalone_mode=False)
            code = 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    print(f"== {line.strip()}: {os.waitstatus_to_exitcode(status)}", flush=True)
"""


def test_every_command_is_there_and_explains_itself() -> None:
    """Each loads its own modules: none lives on what another has imported."""
    paths = [" ".join(path) for path in commands()]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _EACH_IN_A_PROCESS_OF_ITS_OWN],
        input="\n".join(paths),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = re.findall(r"(?s)(Usage: .*?)== (.*?): (-?\d+)\n", done.stdout)
    assert [(path, code) for _, path, code in answers] == [(path, "0") for path in paths], done.stderr
    assert all(f"Usage: driftline {path} " in text for text, path, _ in answers)


def test_help_loads_no_client() -> None:
    code = (
        "import sys; from services.cli.__main__ import cli; cli(['--help'], standalone_mode=False); "
        "print(sorted({'aiokafka', 'redis', 'rich', 'numpy', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_access_is_printed_as_commands_of_kafkas_tool() -> None:
    asked = [
        "topics",
        "access",
        "--service",
        "inference",
        "--topic-prefix",
        "prod.",
        "--principal",
        "User:x-{service}",
    ]
    done = CliRunner().invoke(cli, [*asked, "--bootstrap-servers", "kafka:9092"], catch_exceptions=False)
    lines = done.output.splitlines()
    begin = "kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal User:x-inference"
    assert all(line.startswith(begin) for line in lines)
    assert (
        f"{begin} --operation Describe --operation DescribeConfigs --operation Read --topic prod.events"
        in lines
    )
    prefixed = "--transactional-id driftline.inference. --resource-pattern-type prefixed"
    assert f"{begin} --operation Describe --operation Write {prefixed}" in lines
    assert len(lines) == 8
