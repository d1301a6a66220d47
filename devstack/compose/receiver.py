"""Prints every alert that is posted to port 9999, one line each: path, name, status. Runs in a container."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(BaseHTTPRequestHandler):
    """Takes what Alertmanager posts."""

    def do_POST(self) -> None:
        """Print the alerts of one notification."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in body["alerts"]:
            line = f"received {self.path} {alert['labels']['alertname']} {alert['status']}"
            sys.stdout.write(f"{line}\n")  # at once: two notifications may come together
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing else."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 9999), Receiver).serve_forever()
