from __future__ import annotations

import socket

import pytest

from devstack import ports
from devstack.ports import Ports


def test_two_devstacks_never_share_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LOWEST", 24_000)
    monkeypatch.setattr(ports, "_highest", lambda: 24_040)
    first, second = Ports(), Ports()
    try:
        mine = {first.reserve() for _ in range(10)}
        yours = {second.reserve() for _ in range(10)}
        assert (len(mine), len(yours), mine & yours) == (10, 10, set())
    finally:
        first.release()
        second.release()


def test_a_port_in_use_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        free = Ports()
        offers = iter([taken, taken, taken + 1])
        monkeypatch.setattr(ports.random, "randrange", lambda *_: next(offers))
        monkeypatch.setattr(ports, "_bindable", lambda port: port == taken + 1 or real(port))
        assert free.reserve() == taken + 1
        free.release()


real = ports._bindable


def test_ports_are_out_of_reach_of_outgoing_connections() -> None:
    reserved = Ports()
    port = reserved.reserve()
    reserved.release()
    lowest_ephemeral = int(ports.EPHEMERAL.read_text().split()[0])
    assert ports.LOWEST <= port < lowest_ephemeral
