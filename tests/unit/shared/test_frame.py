"""What is the same around every service: what each asks of its pipelines, and what is seen of it."""

from __future__ import annotations

import time

import aiohttp
from prometheus_client import CollectorRegistry

from shared.frame import pipeline_options, watched
from shared.settings import PipelineSettings


class Settings(PipelineSettings):
    service = "inference"


def settings(**given: object) -> Settings:
    return Settings.model_validate({"kafka_bootstrap_servers": "127.0.0.1:1", "heartbeat_seconds": 0} | given)


def test_each_pipeline_has_a_group_and_a_state_of_its_own() -> None:
    given = settings(group_prefix="prod", topic_prefix="eu.", session_seconds=60, max_batch_events=7)
    options = pipeline_options(
        given, "shadow-labels", topics=("eu.labelled",), outputs=("eu.reports",), commit_interval=0.2
    )

    assert (options.group, options.state_topic) == ("prod.shadow-labels", "eu.shadow-labels-state")
    assert (options.delivery, options.max_records, options.commit_interval) == ("exactly-once", 7, 0.2)
    assert (options.session_timeout, options.heartbeat_interval, options.rebalance_timeout) == (60, 6, 40)


def test_what_is_given_wins_over_the_settings() -> None:
    options = pipeline_options(settings(), "drift-merge", topics=("a",), outputs=("b",), max_records=200)

    assert options.max_records == 200


async def test_a_service_that_is_watched_answers_with_its_checks_and_pages() -> None:
    begun = time.monotonic()
    async with (
        watched(
            settings(http_port=0),
            CollectorRegistry(),
            last_turn=lambda: begun,
            checks={"models": lambda: "flights: no champion"},
            pages={"/": lambda _: "<p>here</p>"},
        ) as health,
        aiohttp.ClientSession(f"http://127.0.0.1:{health.port}") as session,
    ):
        async with session.get("/readyz") as answer:
            assert answer.status == 503
            assert "flights: no champion" in await answer.text()
        async with session.get("/") as answer:
            assert await answer.text() == "<p>here</p>"


async def test_what_is_seen_is_for_those_who_have_the_token() -> None:
    begun = time.monotonic()
    given = settings(http_port=0, http_token="let me in")
    async with (
        watched(given, CollectorRegistry(), last_turn=lambda: begun, checks={}) as health,
        aiohttp.ClientSession(f"http://127.0.0.1:{health.port}") as session,
    ):
        async with session.get("/readyz") as answer:
            assert answer.status == 200
        async with session.get("/metrics") as answer:
            assert answer.status == 401
        async with session.get("/metrics", headers={"Authorization": "Bearer let me in"}) as answer:
            assert answer.status == 200
