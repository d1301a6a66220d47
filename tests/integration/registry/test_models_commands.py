"""`driftline models ...` as a person runs them, on a real Redis."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli import promoting
from services.cli import registry as commands
from shared.errors import BundleError, RegistryError, TransientError

BY_NAME = {
    "register": commands.register,
    "list": commands.list_models,
    "show": commands.show,
    "history": commands.history,
    "promote": promoting.promote,
    "canary": promoting.canary,
    "rollback": commands.rollback,
    "candidate": commands.candidate,
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")


@pytest.fixture
def models(redis_server, tmp_path: Path) -> Callable[..., Result]:
    environment = {
        "DRIFTLINE_REDIS_URL": redis_server.url,
        "DRIFTLINE_BUNDLE_STORE": str(tmp_path / "store"),
        "DRIFTLINE_CACHE_DIR": str(tmp_path / "cache"),
        "DRIFTLINE_REDIS_PREFIX": f"test-{secrets.token_hex(4)}:",
    }

    def run(name: str, *arguments: str | Path, piped: bytes = b"", **more: str) -> Result:
        runner = CliRunner(env=environment | more)
        return runner.invoke(BY_NAME[name], [str(argument) for argument in arguments], input=piped)

    return run


@pytest.fixture
def two(models, make_bundle) -> Callable[..., Result]:
    """Versions 1 and 2 registered by ann, 1 champion."""
    assert models("register", make_bundle("1"), "--who", "ann", "--promote").exit_code == 0
    assert models("register", make_bundle("2", graph=b"2"), "--who", "ann", "-m", "retrained").exit_code == 0
    return models


def lines(result: Result) -> list[str]:
    assert result.exception is None, result.exception
    return [MOMENT.sub("<time>", re.sub(" +", " ", line)).strip() for line in result.output.splitlines()]


def test_a_bundle_comes_through_a_pipe_too(models, make_bundle):
    tar = subprocess.run(["tar", "-c", "-C", make_bundle("1"), "."], capture_output=True, check=True).stdout
    assert lines(models("register", "-", "--promote", piped=tar))[0].startswith("flights 1 is registered")
    half = models("register", "-", piped=tar[:1024])
    assert isinstance(half.exception, BundleError)


def test_an_empty_registry_says_so_and_what_to_do(models):
    assert lines(models("list")) == [
        "The registry is empty. Register a bundle: driftline models register BUNDLE"
    ]
    assert json.loads(models("list", "--json").output) == []
    error = models("show", "flights").exception
    assert isinstance(error, RegistryError)
    assert str(error) == "the registry does not know the model flights, it is empty"


def test_register_says_what_comes_next(models, make_bundle):
    first, second = lines(models("register", make_bundle("1")))
    assert re.fullmatch(r"flights 1 is registered \(digest [0-9a-f]{12}\)\.", first)
    assert second == "Make it champion: driftline models promote flights 1 -m WHY"


def test_promote_rollback_and_candidates(two):
    assert lines(two("promote", "flights", "2", "-m", "better")) == ["flights: champion 1 -> 2 (revision 4)"]
    assert lines(two("rollback", "flights", "-m", "slow")) == ["flights: champion 2 -> 1 (revision 5)"]
    assert lines(two("candidate", "set", "flights", "2")) == ["flights: 2 is a candidate (revision 6)"]
    assert lines(two("candidate", "remove", "flights", "2")) == [
        "flights: 2 is no candidate any more (revision 7)"
    ]
    assert lines(two("promote", "flights", "1", "-m", "again")) == [
        f"flights 1 is the champion already, since revision 5: rolled back from 2 to 1, by "
        f"{commands.default_who()} (slow)."
    ]


def test_a_request_id_is_passed_on(two):
    for _ in range(2):
        told = lines(two("promote", "flights", "2", "-m", "x", "--request-id", "r1"))
        assert told == ["flights: champion 1 -> 2 (revision 4)"]


def test_tables(two):
    two("candidate", "set", "flights", "2", "--who", "bob", "-m", "try [bold]it\x1b[31m")
    assert lines(two("list"))[0::2] == [
        "Model Champion Versions Changed (UTC) Candidates",
        "flights 1 2 <time> 2",
    ]
    shown = lines(two("show", "flights"))
    assert shown[0] == "flights: champion 1, candidates 2, revision 4"
    assert [re.sub("[0-9a-f]{8}", "<digest>", line) for line in shown[3:]] == [
        "2 candidate 275 B <digest> <time> ann: retrained".replace("275", str(size(two, 1))),
        "1 champion 275 B <digest> <time> ann".replace("275", str(size(two, 0))),
    ]
    assert lines(two("history", "flights", "-n", "3"))[2:] == [
        "4 <time> set-candidate 2 bob: try [bold]it?[31m",
        "3 <time> register 2 ann: retrained",
        "2 <time> promote 1 ann",
    ]


def size(models, position: int) -> int:
    return json.loads(models("show", "flights", "--json").output)["versions"][position]["size"]


def test_json(two):
    (listed,) = json.loads(two("list", "--json").output)
    assert listed == json.loads(two("show", "flights", "--json").output)
    assert (listed["champion"], listed["candidates"], listed["revision"]) == ("1", [], 3)
    assert [version["version"] for version in listed["versions"]] == ["1", "2"]
    newest, *_ = json.loads(two("history", "flights", "--json").output)
    assert (newest["action"], newest["from"], newest["to"], newest["why"]) == (
        "register",
        None,
        "2",
        "retrained",
    )


@pytest.mark.parametrize("command", [["promote", "flights", "2"], ["rollback", "flights"]])
def test_why_is_asked_for(two, command):
    result = two(*command)
    assert result.exit_code == 2
    assert "Missing option '--why' / '-m'" in result.output


def test_redis_away_is_one_sentence_without_the_password(models):
    error = models("list", DRIFTLINE_REDIS_URL="redis://:hunter2@127.0.0.1:1/0").exception
    assert isinstance(error, TransientError)
    assert str(error).startswith("Redis at redis://:***@127.0.0.1:1/0 does not answer: ")
    assert "hunter2" not in str(error)
