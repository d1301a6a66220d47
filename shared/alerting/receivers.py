"""What a receiver may be, and its secrets, which are read from the environment or from files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit, urlunsplit

from shared.alerting.rules import Receiver
from shared.errors import ConfigError
from shared.logs import hide

ON_THIS_MACHINE: Final = frozenset(
    {"dbus", "file", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)
"""Apprise schemes that go to nobody but the machine that the service runs on."""

_LONG_PIECE: Final = 16
"""Characters of a path's piece that is taken for a token: shorter ones are words that logs are full of."""


def check_receiver(receiver: Receiver) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a receiver: the key and a sentence; reads no secret."""
    places = [key for key in ("url", "url_env", "url_file") if getattr(receiver, key)]
    if len(places) != 1:
        yield places[-1] if places else "name", "exactly one of url, url_env, url_file is needed"
    for what in ("secret", "token"):
        if getattr(receiver, f"{what}_env") and getattr(receiver, f"{what}_file"):
            yield f"{what}_file", f"{what}_env is there as well; keep one of them"
        signs = receiver.format in ("driftline", "cloudevents") or what == "token"
        if not signs and (getattr(receiver, f"{what}_env") or getattr(receiver, f"{what}_file")):
            yield f"{what}_env", f"has no effect: {receiver.format} has no signature"
    if receiver.format == "alertmanager" and not receiver.send_resolved:
        yield "send_resolved", "must be true: an Alertmanager would hold what is over for minutes more"
    if receiver.url is not None:
        problem = check_url(receiver, receiver.url)
        if problem is not None:
            yield "url", problem
    if receiver.ca_file is not None and not Path(receiver.ca_file).is_file():
        yield "ca_file", f"{receiver.ca_file} is no file"


def check_url(receiver: Receiver, url: str) -> str | None:
    """Return what is wrong with a receiver's URL, ``None`` where nothing is."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        return f"is no URL: {error}"
    if receiver.format == "apprise":
        return _check_apprise(parts)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be https://host/..."
    if parts.scheme == "http" and not receiver.allow_http:
        return "is http://, which anybody on the way can read: use https://, or set allow_http: true"
    if parts.username or parts.password:
        return "carries a password: put it into token_file, or the whole URL into url_file"
    return None


def _check_apprise(parts: SplitResult) -> str | None:
    if not parts.scheme:
        return "is no Apprise URL: it has no scheme"
    if parts.scheme.lower() in ON_THIS_MACHINE:
        return f"{parts.scheme}:// tells only the machine that the alerting service runs on"
    if parse_qs(parts.query).get("verify", ["yes"])[-1].lower() in ("no", "false", "0", "off"):
        return "carries verify=no: certificates are always verified"
    return None


def secret_parts(url: str, *, named: bool) -> Iterator[str]:
    """Yield what of a URL is to be seen nowhere: errors and answers repeat parts of it.

    Parameters
    ----------
    named
        Whether it comes from a variable or a file, and is a secret as a whole: then also what is behind the
        host, and long pieces of it, and of an Apprise URL the token in the host's place.

    Examples
    --------
    >>> list(secret_parts("https://hooks.example/T1/0123456789abcdefgh", named=True))
    ['/T1/0123456789abcdefgh', '0123456789abcdefgh']
    >>> list(secret_parts("https://hooks.example/in?key=s3cret&to=me", named=False))
    ['s3cret', 'me']
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if named:
        yield urlunsplit(("", "", *parts[2:]))
        if parts.scheme not in ("http", "https"):
            yield parts.netloc
        yield from (piece for piece in parts.path.split("/") if len(piece) >= _LONG_PIECE)
    for values in parse_qs(parts.query).values():
        yield from values


class Secrets:
    """The URL, the signing key and the token of a receiver, as they are now.

    Read anew for each attempt, so that a secret can be exchanged under a running service.

    Parameters
    ----------
    receiver
        From the rules file.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def url(self) -> str:
        """Return where notifications go.

        Raises
        ------
        ConfigError
            The variable or file is not there, or holds no URL that is allowed.
        """
        given = self._receiver.url or self._read("url")
        assert given is not None
        hide(secret_parts(given, named=self._receiver.url is None))
        if problem := check_url(self._receiver, given):
            raise ConfigError([f"receiver {self._receiver.name}: the URL {problem}"])
        return given

    def signing_key(self) -> bytes | None:
        """Return the key that signs, ``None`` where nothing is signed."""
        key = self._read("secret")
        return None if key is None else key.encode()

    def token(self) -> str | None:
        """Return the bearer token, ``None`` where there is none."""
        return self._read("token")

    def _read(self, what: str) -> str | None:
        receiver = self._receiver
        variable, path = getattr(receiver, f"{what}_env"), getattr(receiver, f"{what}_file")
        if variable is not None:
            value = os.environ.get(variable, "")
            where = f"the variable {variable}"
        elif path is not None:
            try:
                value = Path(path).expanduser().read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError([f"receiver {receiver.name}: {path} cannot be read: {error}"]) from error
            where = path
        else:
            return None
        if not value:
            raise ConfigError([f"receiver {receiver.name}: {where} is empty or not set"])
        hide([value])
        return value
