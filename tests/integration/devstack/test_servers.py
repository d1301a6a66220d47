"""Redis and the embedded broker: fault control, and a port that somebody takes first."""

from __future__ import annotations

import socket

import pytest
import redis

from devstack.embedded_kafka import EmbeddedKafka
from devstack.errors import DevstackError
from devstack.ports import Ports
from devstack.redis_server import RedisServer
from devstack.server import Server


def connect(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=0.3)


def test_redis_keeps_its_data_and_address_over_a_kill_and_a_stop() -> None:
    with RedisServer() as server:
        url = server.url
        with connect(server) as client:
            client.set("champion", "v1")
        server.kill()
        with connect(server) as client, pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        with connect(server) as client:
            assert client.get("champion") == b"v1"
            client.set("champion", "v2")
        server.stop()
        server.start()
        with connect(server) as client:
            assert client.get("champion") == b"v2"
        assert server.url == url


def test_a_suspended_redis_answers_after_it_resumes() -> None:
    with RedisServer() as server:
        server.suspend()
        with connect(server) as client, pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        with connect(server) as client:
            assert client.ping() is True


@pytest.mark.parametrize("kind", [RedisServer, EmbeddedKafka])
def test_a_taken_port_is_replaced(kind: type[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        reserve, offers = Ports.reserve, iter([taken])
        monkeypatch.setattr(Ports, "reserve", lambda self: next(offers, None) or reserve(self))
        with kind() as server:
            assert server.port != taken
            assert server.ready()


def test_a_given_data_folder_is_kept(tmp_path) -> None:
    with RedisServer(tmp_path) as server, connect(server) as client:
        client.set("kept", "yes")
    with RedisServer(tmp_path) as server, connect(server) as client:
        assert client.get("kept") == b"yes"


def test_outside_the_with_block_the_error_says_so() -> None:
    with pytest.raises(DevstackError, match="Redis is not started: use it in a with statement"):
        RedisServer().start()
