"""A real Alertmanager: takes alerts, and posts them to a webhook where one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from devstack.debian import find_program
from devstack.errors import DevstackError
from devstack.http_client import get_json, post_json
from devstack.server import Server


class Alertmanager(Server):
    """Alertmanager on loopback, without a cluster.

    Parameters
    ----------
    webhook_url
        Where to post notifications; none by default.
    data_dir
        Its data folder; a scratch one by default.

    Examples
    --------
    >>> with Alertmanager() as alertmanager:                                  # doctest: +SKIP
    ...     alertmanager.alerts()
    """

    name = "Alertmanager"

    def __init__(self, webhook_url: str | None = None, *, data_dir: Path | str | None = None) -> None:
        super().__init__(data_dir)
        self._webhook_url = webhook_url

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``; alerts are posted to ``/api/v2/alerts`` below it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """``127.0.0.1:<port>``, as Prometheus wants it."""
        return f"127.0.0.1:{self.port}"

    def command(self, data_dir: Path) -> list[str]:
        """Write the configuration; return the command line."""
        config = data_dir / "alertmanager.yml"
        config.write_text(json.dumps(self._config(data_dir), indent=2))  # JSON is YAML
        return [
            find_program("prometheus-alertmanager"),
            f"--config.file={config}",
            f"--storage.path={data_dir / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]

    def ready(self) -> bool:
        """Return whether it serves and is ours, by the data folder named in its configuration."""
        try:
            status = get_json(f"{self.url}/api/v2/status")
        except (OSError, DevstackError):
            return False
        return str(self.part.data_dir) in status["config"]["original"]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts it holds, with labels, annotations, times and status."""
        alerts: list[dict[str, Any]] = get_json(f"{self.url}/api/v2/alerts")
        return alerts

    def post(self, alerts: list[dict[str, Any]]) -> None:
        """Send alerts as Prometheus would.

        Raises
        ------
        DevstackError
            It refuses them; the message says why.
        """
        post_json(f"{self.url}/api/v2/alerts", alerts)

    def _config(self, data_dir: Path) -> dict[str, Any]:
        webhooks = [{"url": self._webhook_url, "send_resolved": True}] if self._webhook_url else []
        return {
            "route": {
                "receiver": "webhook",
                "group_by": ["alertname"],
                "group_wait": "1s",
                "group_interval": "1s",
            },
            "receivers": [{"name": "webhook", "webhook_configs": webhooks}],
            "templates": [str(data_dir / "*.tmpl")],  # none there: it only marks the process as ours
        }
