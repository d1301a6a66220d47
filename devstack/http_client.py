"""GET and POST of JSON on loopback, for asking the servers of devstack something."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from devstack.errors import DevstackError

_TIMEOUT = 10.0


def get_json(url: str, parameters: Mapping[str, str] | None = None) -> Any:
    """Return the decoded body of a GET.

    Raises
    ------
    OSError
        Nobody answers.
    DevstackError
        The answer is an error; the message holds its body.
    """
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    return _send(urllib.request.Request(url + query))


def post_json(url: str, body: Any) -> Any:
    """Send ``body`` as JSON; return the decoded answer, ``None`` where it is empty.

    Raises what :func:`get_json` raises.
    """
    data = json.dumps(body).encode()
    return _send(urllib.request.Request(url, data, {"Content-Type": "application/json"}))


def _send(request: urllib.request.Request) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        raise DevstackError(
            f"{request.full_url}: {error.code} {error.read().decode(errors='replace')}"
        ) from error
    return json.loads(body) if body.strip() else None
