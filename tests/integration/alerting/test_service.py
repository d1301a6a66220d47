"""The alerting service as a process on a real Kafka, with a real webhook receiver."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.apache_kafka import ApacheKafka
from devstack.security import PASSWORD, USERNAME
from shared.dead_letters import read_dead_letter
from tests.integration.alerting.conftest import Stage, staged
from tests.processes import service
from tests.reports import inference
from tests.streams import produce, read_all, until

pytestmark = pytest.mark.kafka


async def test_from_report_to_webhook_and_its_end(stage: Stage) -> None:
    with service("alerting", stage.folder, stage.settings) as alerting:
        await alerting.ready()
        await stage.report(inference("m", failures=200))
        await until(lambda: len(stage.receiver.taken) == 1, what="the webhook")
        await stage.report(inference("m", minute=1))
        await until(lambda: len(stage.receiver.taken) == 2, what="its end")
        first, second = [one.notification().alert for one in stage.receiver.taken]
        assert first.summary == "m fails on 16.7 %"
        assert (first.status, second.status) == ("firing", "resolved")
        assert first.alert_id == second.alert_id
        assert [alert.status for alert in await stage.alerts()] == ["firing", "resolved"]
        alerting.part.stop()
        assert alerting.part.running is False
        ours = [
            line for line in alerting.log_lines() if line["logger"].startswith(("services", "faust", "mode"))
        ]
        assert [line for line in ours if line["level"] == "error"] == []


async def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(stage: Stage) -> None:
    bad = [(0, b"{"), (1, b'{"kind": "inference", "model": 3}'), (2, None), (0, b'{"kind": "of-tomorrow"}')]
    await produce(stage.client, stage.topics.reports, bad)
    await stage.report(inference("m", failures=200))
    # A former process kept something and committed nothing: Faust itself would read no report from here.
    await produce(stage.client, stage.topics.state("alerting"), [(0, b"{}")], key=b"of-a-newer-version/1")
    with service("alerting", stage.folder, stage.settings) as alerting:
        await alerting.ready()
        await until(lambda: len(stage.receiver.taken) == 1, what="the webhook")
        letters = [
            letter
            for part in (await read_all(stage.client, stage.topics.dead_letters)).values()
            for letter in part
        ]
    assert sorted(letter.value for letter in letters) == sorted(bad[n][1] or b"" for n in (0, 1))
    reasons = [read_dead_letter(letter.headers) for letter in letters]
    assert {(reason.error, reason.service) for reason in reasons if reason} == {("DecodeError", "alerting")}


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_over_tls_with_a_login(topic_prefix: str, tmp_path: Path) -> None:
    with ApacheKafka(security="sasl_tls") as broker:
        secure = {
            "DRIFTLINE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "DRIFTLINE_KAFKA_SASL_USERNAME": USERNAME,
            "DRIFTLINE_KAFKA_SASL_PASSWORD": PASSWORD,
            "DRIFTLINE_KAFKA_SSL_CA_FILE": str(broker.ca_file),
        }
        async with staged(broker, topic_prefix, tmp_path, **secure) as stage:
            with service("alerting", stage.folder, stage.settings) as alerting:
                await alerting.ready()
                await stage.report(inference("m", failures=200))
                await until(lambda: len(stage.receiver.taken) == 1, what="the webhook")
