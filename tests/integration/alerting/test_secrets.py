"""Planted secrets, a broker that works and a receiver that does not: they are nowhere to be read."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request

import pytest

from tests.integration.alerting.conftest import RULE, Stage
from tests.integration.alerting.test_commands import driftline
from tests.processes import ServiceProcess, service
from tests.reports import inference
from tests.streams import read_all, until
from tests.webhooks import WebhookReceiver

pytestmark = pytest.mark.kafka

PLANTED = {
    "SIGNING": "planted-signing-key-5ae1",
    "BEARER": "planted-bearer-token-77c0",
    "PATH": "planted-path-of-the-hook-19bd",
    "QUERY": "planted-query-3f",
    "PAGE": "planted-page-token-c0de",
}
WRONG = "planted-wrong-guess-d00d"
EVERY = (*PLANTED.values(), WRONG)


async def test_no_planted_secret_is_in_a_log_a_page_a_topic_or_a_command(stage: Stage) -> None:
    """The receiver repeats what it was sent, as debugging middleware does; it refuses now, and for good."""
    async with WebhookReceiver(answers=[401, 500, "drop", 400], echo=True) as echoing:
        url = f"{echoing.url}/{PLANTED['PATH']}?key={PLANTED['QUERY']}"
        to = {
            "secret_env": "HOOK_SIGNING",
            "token_env": "HOOK_BEARER",
            "allow_http": True,
            "allow_private": True,
        }
        stage.write_rules(
            RULE,
            receivers=[
                {"name": "echoing", "url_env": "HOOK_URL"} | to,
                {"name": "away", "url_env": "HOOK_AWAY"} | to,
            ],
        )
        secrets = {
            "HOOK_URL": url,
            "HOOK_AWAY": url.replace(f":{echoing.port}", ":9"),
            "HOOK_SIGNING": PLANTED["SIGNING"],
            "HOOK_BEARER": PLANTED["BEARER"],
            "DRIFTLINE_HTTP_TOKEN": PLANTED["PAGE"],
            "DRIFTLINE_LOG_LEVEL": "DEBUG",
        }
        with service("alerting", stage.folder, stage.settings | secrets) as alerting:
            await alerting.ready()
            await stage.report(inference("m", failures=200))

            def given_up() -> bool:
                return any(line["event"].startswith("notification given up") for line in alerting.log_lines())

            await until(given_up, seconds=90, what="the receiver to refuse for good")
            assert echoing.taken, "one of the answers was lost after it was accepted"
            pages = [
                await asyncio.to_thread(page, alerting, path, token) for path in PAGES for token in TOKENS
            ]
            assert {status for status, _ in pages} == {200, 401}
            command = await driftline(stage, "alerts", "show", (await stage.alerts())[0].alert_id)
            said = alerting.part.log.read_text(errors="replace")
    assert "HTTP 401: **********" in said
    assert "**********" in command
    topics = (stage.topics.alerts, stage.topics.dead_letters, stage.topics.state("alerting"))
    for topic in topics:
        for records in (await read_all(stage.client, topic)).values():
            command += "".join(f"{record.key} {record.value} {record.headers}" for record in records)
    for text in (said, command, *(text for _, text in pages)):
        for secret in EVERY:
            assert secret not in text, text[max(0, text.index(secret) - 300) : text.index(secret) + 60]


PAGES = ("/", "/metrics", "/readyz", "/healthz", "/runbooks/drift")
TOKENS = (None, WRONG, PLANTED["PAGE"])


def page(process: ServiceProcess, path: str, token: str | None) -> tuple[int, str]:
    """Status and whole answer, headers included."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(process.url + path, headers=headers)) as answer:
            return answer.status, f"{answer.headers}{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return error.code, f"{error.headers}{error.read().decode()}"
