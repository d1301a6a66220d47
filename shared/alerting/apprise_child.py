"""Apprise in a process of its own: it connects by itself, so its connections are checked as it makes them.

``python -m shared.alerting.apprise_child`` reads one :class:`Errand` as JSON from its standard input and
answers with the sentence that says why it failed, or with nothing. An audit hook, which nothing that runs
in the process can take back, refuses what Apprise must not do: connect to an address that is not public,
start a program. A redirect is not followed. A process that hangs is killed, as a thread could not be.
"""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any, Final

import msgspec

from shared.alerting.addresses import FORBIDDEN, ForbiddenAddress, is_public

_PROGRAMS: Final = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn"})


class Errand(msgspec.Struct):
    """What the child is to send."""

    url: str
    title: str
    text: str
    allow_private: bool


class _Reasons(logging.Handler):
    """Keeps what Apprise says of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage().strip())


def guard(*, allow_private: bool) -> list[str]:
    """Refuse, from here on and for good, what a notification must not do.

    Returns
    -------
    list of str
        Grows with a sentence for each refusal: Apprise swallows the exception.
    """
    refused: list[str] = []

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        problem = None
        if event in _PROGRAMS:
            problem = "it wants to start a program on this machine"
        elif event in ("socket.connect", "socket.sendto") and not allow_private:
            problem = _problem(*arguments[:2])
        if problem:
            refused.append(problem)
            raise ForbiddenAddress(problem)

    sys.addaudithook(check)
    return refused


def _problem(connection: socket.socket, address: Any) -> str | None:
    """Return why a connection is refused, ``None`` where it is not."""
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return "it wants to talk to a program on this machine"
    try:
        public = is_public(str(address[0]))
    except ValueError:
        public = False  # a name: where that leads to is not known here
    return None if public else f"{address[0]} is {FORBIDDEN}"


def send(errand: Errand) -> str:
    """Return why a notification was not sent, nothing where it was."""
    try:
        import apprise
        import requests.sessions
    except ImportError:
        return "format apprise needs the package apprise: pip install 'driftline[apprise]'"
    vars(requests.sessions)["DEFAULT_REDIRECT_LIMIT"] = 0  # what a session is made with
    reasons = _Reasons()
    logging.getLogger("apprise").addHandler(reasons)
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    service = apprise.Apprise()
    if not service.add(errand.url):
        return "Apprise does not know this URL"
    refused = guard(allow_private=errand.allow_private)
    sent = service.notify(title=errand.title, body=errand.text)
    if refused:
        return refused[0]
    return "" if sent else "; ".join(reasons.said) or "Apprise could not deliver it, and does not say why"


if __name__ == "__main__":
    sys.stdout.write(send(msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)))
