"""The signature of a webhook: HMAC-SHA256 over its time, its idempotency key and its body."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SIGNATURE: Final = "Driftline-Signature"
TIMESTAMP: Final = "Driftline-Timestamp"
IDEMPOTENCY: Final = "Idempotency-Key"

LONGEST_AGE: Final = 300
"""Seconds that a receiver should accept: an older request may be a replay."""


def sign(key: bytes, timestamp: int, idempotency_key: str, body: bytes) -> str:
    """Return the value of the signature header.

    Parameters
    ----------
    timestamp
        Seconds since 1970, of this attempt.

    Examples
    --------
    >>> sign(b"secret", 1357017300, "k1", b"{}")
    'v1=41a25226449ce61cbe396492dc0f161dba40d51c7a5778aea0b5a4b9871ff13a'
    """
    message = b"%d.%s.%s" % (timestamp, idempotency_key.encode(), body)
    return "v1=" + hmac.new(key, message, hashlib.sha256).hexdigest()


def verify(
    key: bytes, headers: dict[str, str], body: bytes, *, now: float, longest_age: int = LONGEST_AGE
) -> bool:
    """Return whether a webhook comes from whoever holds the key, and is not old.

    Parameters
    ----------
    headers
        Of the request, by their names as they are written in this module.
    now
        Seconds since 1970.
    """
    try:
        timestamp = int(headers[TIMESTAMP])
        given, idempotency_key = headers[SIGNATURE], headers[IDEMPOTENCY]
    except (KeyError, ValueError):
        return False
    expected = sign(key, timestamp, idempotency_key, body)
    return abs(now - timestamp) <= longest_age and hmac.compare_digest(expected, given)
