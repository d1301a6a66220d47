"""`driftline shadow report` and promotion by the gates, as a person runs them, on a real Kafka and Redis."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from services.cli.__main__ import cli as driftline
from shared.bundle.write import encode_spec
from shared.errors import ServiceError
from shared.promotion.act import decision_report
from shared.registry import RedisRegistry
from shared.registry.order import now_ms
from tests.integration.cli.conftest import Cli
from tests.integration.registry.conftest import make_bundle  # noqa: F401 (a fixture)
from tests.streams import produce
from tests.unit.shared.promotion.reports import GATES, SPEC, story, world

pytestmark = pytest.mark.kafka
ANN = {"who": "ann", "why": "test"}


class Stage:
    """A registry with versions 1 (champion), 2 and 3 (candidates), and the shadow's reports in Kafka."""

    def __init__(self, cli: Cli, url: str, folder: Path) -> None:
        self._servers, self._topics = cli.servers, cli.topics
        self._registry = (url, f"{folder}/store", folder / "cache", f"{cli.topics.prefix}registry:")
        names = ("REDIS_URL", "BUNDLE_STORE", "CACHE_DIR", "REDIS_PREFIX")
        mine = {f"DRIFTLINE_{n}": str(v) for n, v in zip(names, self._registry, strict=True)}
        self._environment = cli.environment(**mine)

    def cli(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Return output and error of a command; in this process, since Python starts slowly."""
        result = CliRunner(env=self._environment).invoke(driftline, arguments)
        error = f"driftline: {result.exception}\n" if isinstance(result.exception, ServiceError) else ""
        assert result.exit_code == code, (result.output, result.exception)
        return result.stdout, error + result.stderr

    def registry(self, work):
        async def run():
            async with RedisRegistry(*self._registry) as registry:
                return await work(registry)

        return asyncio.run(run())

    def report(self, *messages) -> None:
        records = [(0, msgspec.json.encode(message)) for message in messages]
        client = {"bootstrap_servers": self._servers}
        asyncio.run(produce(client, self._topics.reports, records))


@pytest.fixture
def stage(cli, redis_server, make_bundle, tmp_path):  # noqa: F811
    stage = Stage(cli, redis_server.url, tmp_path)

    async def prepare(registry):
        for version in "123":
            spec = msgspec.structs.replace(SPEC, version=version, gates=GATES)
            toml = encode_spec(spec)
            await registry.register(make_bundle(version, graph=version.encode(), model_toml=toml), **ANN)
        await registry.promote("flights", "1", **ANN)
        await registry.set_candidate("flights", "2", **ANN)
        await registry.set_candidate("flights", "3", **ANN)

    stage.registry(prepare)
    return stage


GOOD = world(9_000, 1)
BAD = world(9_000, 3, worse_in="WN", worse_by=0.7)


@pytest.fixture
def compared(stage):
    stage.report(
        *story(GOOD, written_at=now_ms()), *story(BAD, model_version="3", basis=6, written_at=now_ms())
    )
    return stage


def test_the_report_tells_what_was_compared_and_what_the_gates_say(compared):
    out, _ = compared.cli("shadow", "report", "flights")
    text = re.sub(" +", " ", out)
    assert "flights: candidate 2 against champion 1" in text
    assert "compared 9,000 pairs, event time 2015-08-19 16:00:00Z to 2015-08-20 04:00:00Z" in text
    assert "The gates pass: it may be promoted" in text
    assert "flights: candidate 3 against champion 1" in text
    assert "segment carrier fail" in text
    assert "carrier=WN" in text
    assert "A gate fails: it is not promoted." in text
    assert re.search(
        r"carrier=WN \S+ \d+\.\d% [\d,]+ [+-]0\.\d{4} .* 0\.00% / 0\.00% \d+ / \d+ \d+ / \d+", text
    )
    one, _ = compared.cli("shadow", "report", "flights", "3", "--windows")
    assert "candidate 2" not in one
    assert re.search(r"2015-08-19 16:00:00Z +750 ", one)


def test_the_json_has_every_figure(compared):
    found = json.loads(compared.cli("shadow", "report", "flights", "--json")[0])
    assert (found["model"], found["champion"]) == ("flights", "1")
    good, bad = found["comparisons"]
    _, truth, champion, candidate = GOOD
    assert good["sums"]["comparison"]["both"] == 9_000
    assert good["agreement"] == ((champion >= 0.5) == (candidate >= 0.5)).mean()
    closer = (candidate - truth) ** 2 < (champion - truth) ** 2
    further = (candidate - truth) ** 2 > (champion - truth) ** 2
    assert good["win_rate"] == closer.sum() / (closer.sum() + further.sum())
    advantage = ((champion - truth) ** 2 - (candidate - truth) ** 2).mean()
    assert good["advantage"]["brier"]["estimate"] == pytest.approx(advantage)
    assert good["advantage"]["auc"]["exact"] is False
    assert [good["state"], bad["state"]] == ["pass", "fail"]
    assert bad["segments"][0]["value"] == "WN"
    carrier = GOOD[0]
    for segment in good["segments"]:
        mine = carrier == segment["value"]
        answers, apart = segment["answers"], (candidate - champion)[mine]
        assert answers["pairs"] == mine.sum()
        assert answers["score_difference"]["mean"] == pytest.approx(apart.mean())
        assert answers["score_difference"]["quantiles"]["0.5"] == pytest.approx(np.median(apart), abs=0.05)
        assert sum(answers["score_difference"]["histogram"]["counts"]) == mine.sum()
        assert 0 <= answers["population_stability_index"] < 0.1
        assert answers["candidate_error_rate"] == 0
        assert answers["champion_latency"]["p99"] < answers["candidate_latency"]["p50"]
    assert [window["answers"]["pairs"] for window in good["windows"]] == [750] * 12
    assert good["windows"][3]["answers"]["champion_latency"]["p50"] <= 0.05
    assert found["decisions"] == []


def test_the_page_stands_alone_and_escapes_what_it_shows(compared, tmp_path):
    page = tmp_path / "shadow.html"
    compared.cli("shadow", "report", "flights", "--html", str(page))
    html = page.read_text()
    # Advantage, scores, windows, and two of segments, for both candidates.
    assert html.count("<svg") == 10
    assert "<td>carrier=WN</td>" in html
    assert "candidate 3 against champion 1" in html
    assert "<script" not in html
    assert not re.search(r"(?:src|href)=.http", html)


def test_a_candidate_whose_gates_pass_is_promoted_once_by_the_person_and_the_gates(compared):
    arguments = ("models", "promote", "flights", "2", "--if-gates-pass", "--who", "ann")
    out, _ = compared.cli(*arguments, "-m", "looks good")
    assert "pass brier: " in out
    assert "flights: champion 1 -> 2 (revision 7)" in out
    assert "is the champion already" in compared.cli(*arguments)[0]

    async def look(registry):
        return await registry.pointers("flights"), await registry.history("flights")

    pointers, history = compared.registry(look)
    assert (pointers.champion, pointers.since["1"]) == ("2", 7)
    assert history[0].who == "ann"
    assert history[0].why.startswith("looks good (events: 9,000 pairs of answers; ")
    assert history[0].request_id == "gates/promoted/2/5"
    # In probation the report is about the new champion beside its predecessor.
    decision = decision_report(history[0])
    assert decision is not None
    compared.report(decision)
    report, _ = compared.cli("shadow", "report", "flights")
    assert "flights: champion 2 in probation, beside its predecessor 1" in report
    assert "Decided by the gates" in report
    assert "predecessor of 2, which is in probation" in compared.cli(
        "models", "promote", "flights", "1", "--if-gates-pass", code=1
    )[1]  # fmt: skip


def test_a_request_id_does_not_go_with_the_gates_which_have_one(compared):
    _, err = compared.cli(
        "models", "promote", "flights", "2", "--if-gates-pass", "--request-id", "mine", code=2
    )
    assert "--request-id does not go with --if-gates-pass" in err
    assert compared.registry(lambda registry: registry.pointers("flights")).champion == "1"


def test_a_candidate_whose_gate_fails_is_not_promoted(compared):
    out, err = compared.cli("models", "promote", "flights", "3", "--if-gates-pass", code=1)
    assert "fail segment carrier: " in out
    assert "carrier=WN" in out
    assert err == "driftline: flights 3 was not promoted: a gate fails\n"
    assert compared.registry(lambda registry: registry.pointers("flights")).champion == "1"


def test_without_reports_the_gates_wait(stage):
    out, err = stage.cli("models", "promote", "flights", "2", "--if-gates-pass", code=1)
    assert "wait events: 0 pairs of answers of the 1,000 needed" in out
    assert "a gate waits for more" in err
    assert "nothing yet" in stage.cli("shadow", "report", "flights")[0]


def test_a_refused_candidate_can_still_be_looked_at(compared):
    compared.registry(lambda registry: registry.remove_candidate("flights", "3", **ANN))
    assert "candidate 3" not in compared.cli("shadow", "report", "flights")[0]
    out, _ = compared.cli("shadow", "report", "flights", "3")
    assert "candidate 3 against champion 1, no longer a candidate" in out
    assert "segment carrier" in out
    assert "there are reports of 2, 3" in compared.cli("shadow", "report", "flights", "9", code=1)[1]


def test_a_canary_is_set_moved_and_ended(stage):
    assert stage.cli("models", "canary", "flights", "2", "--percent", "5")[0] == (
        "flights: 2 answers 5 % of the traffic (revision 7)\n"
    )
    stage.cli("models", "canary", "flights", "2", "--percent", "12.5", "-m", "so far so good")
    shown, _ = stage.cli("models", "show", "flights")
    assert "canary 12.5 %" in shown
    out, _ = stage.cli("models", "canary", "flights", "2", "--percent", "0")
    assert "2 answers no traffic any more" in out
    history, _ = stage.cli("models", "history", "flights")
    assert "set-canary" in history
    assert "2 12.5 %" in history
    assert "answers no traffic" in stage.cli("models", "canary", "flights", "2", "--percent", "0", code=1)[1]
    assert "is no candidate" in stage.cli("models", "canary", "flights", "1", "--percent", "5", code=1)[1]
