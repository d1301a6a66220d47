"""Addresses for logs and errors: a password in them is never printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

_USERINFO = re.compile(
    r"(?P<scheme>[a-z0-9+.-]+://)(?P<user>[^:@/?#]*)(?::(?P<password>.*))?@", re.IGNORECASE
)
_SECRET_QUERY = re.compile(r"([?&][^=&]*(?:password|secret|token|key)[^=&]*=)([^&]*)", re.IGNORECASE)


def masked(url: str) -> str:
    """Return a URL whose password and secret query values are replaced by ``***``.

    Parsed by pattern rather than by the URL library, because a URL that is not well formed (an
    unescaped ``/`` in the password, say) is the one that ends up in an error message.

    Examples
    --------
    >>> masked("rediss://ops:s3/cr:et@redis:6379/0")
    'rediss://ops:***@redis:6379/0'
    >>> masked("unix:///run/redis.sock?db=1&password=hunter2")
    'unix:///run/redis.sock?db=1&password=***'
    >>> masked("redis://redis:6379")
    'redis://redis:6379'
    """
    url = _USERINFO.sub(
        lambda m: m["scheme"] + m["user"] + ("" if m["password"] is None else ":***") + "@", url
    )
    return _SECRET_QUERY.sub(r"\1***", url)


def secrets_in(url: str) -> Iterator[str]:
    """Yield what :func:`masked` hides, as it is written and as it is meant.

    Examples
    --------
    >>> sorted(secrets_in("rediss://ops:p%40ss@redis/1?ssl_keyfile_password=hunter2"))
    ['hunter2', 'p%40ss', 'p@ss']
    """
    found = set()
    for match in _USERINFO.finditer(url):
        password = match["password"] or ""
        found |= {password, unquote(password)}
    for match in _SECRET_QUERY.finditer(url):
        found |= {match[2], unquote_plus(match[2])}
    yield from found - {""}
