"""``python -m shared.probe readyz``: ask this container's own service how it is; exit code 0 when well.

For ``HEALTHCHECK`` and exec probes in images that hold no shell, no curl and nothing else to ask with.
"""

from __future__ import annotations

import http.client
import os
import sys
from typing import Final

_TIMEOUT: Final = 2.0
_PATHS: Final = ("healthz", "readyz")


def probe(path: str, port: int) -> tuple[bool, str]:
    """Return whether the service at ``port`` of this machine is well, and what it says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    try:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        return answer.status == http.client.OK, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer on port {port}: {error}"
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    """Return 0 when well, 1 when not, 2 for a wrong command line."""
    if len(arguments) != 1 or arguments[0] not in _PATHS:
        print(f"usage: python -m shared.probe {'|'.join(_PATHS)}", file=sys.stderr)
        return 2
    well, text = probe(arguments[0], int(os.environ.get("DRIFTLINE_HTTP_PORT", "8080")))
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
