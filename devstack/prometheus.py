"""A real Prometheus that scrapes what the caller names, and answers queries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devstack.debian import find_program
from devstack.errors import DevstackError
from devstack.http_client import get_json
from devstack.server import Server


class Prometheus(Server):
    """Prometheus on loopback.

    Its targets and Alertmanagers are found 5 s after the start, whatever the intervals.

    Parameters
    ----------
    targets
        Addresses (``host:port``) to scrape, by job.
    rule_files
        Rule files to evaluate.
    alertmanagers
        Addresses of Alertmanagers to send alerts to.
    scrape_interval
        Seconds between two scrapes, and between two evaluations of the rules.
    data_dir
        Its data folder; a scratch one by default.

    Examples
    --------
    >>> with Prometheus({"driftline": ["127.0.0.1:8080"]}) as prometheus:    # doctest: +SKIP
    ...     prometheus.query("up")
    """

    name = "Prometheus"

    def __init__(
        self,
        targets: Mapping[str, Sequence[str]],
        *,
        rule_files: Sequence[Path] = (),
        alertmanagers: Sequence[str] = (),
        scrape_interval: float = 1.0,
        data_dir: Path | str | None = None,
    ) -> None:
        super().__init__(data_dir)
        self._targets = dict(targets)
        self._rule_files = [path.resolve() for path in rule_files]
        self._alertmanagers = list(alertmanagers)
        self._interval = f"{int(scrape_interval * 1000)}ms"

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``."""
        return f"http://127.0.0.1:{self.port}"

    def command(self, data_dir: Path) -> list[str]:
        """Write the configuration; return the command line."""
        config = data_dir / "prometheus.yml"
        config.write_text(json.dumps(self._config(), indent=2))  # JSON is YAML
        return [
            find_program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={data_dir / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--rules.alert.resend-delay=1s",  # the first send may come before it has found Alertmanager
        ]

    def ready(self) -> bool:
        """Return whether it serves and is ours, by its data folder."""
        try:
            flags = get_json(f"{self.url}/api/v1/status/flags")["data"]
            return bool(flags["storage.tsdb.path"] == str(self.part.data_dir / "data"))
        except (OSError, DevstackError):
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query, each with ``metric`` and ``value``.

        Raises
        ------
        DevstackError
            Prometheus refuses the expression; the message says why.
        """
        return self._vector(get_json(f"{self.url}/api/v1/query", {"query": expression}))

    def alerts(self) -> list[dict[str, Any]]:
        """Return the pending and firing alerts."""
        alerts: list[dict[str, Any]] = get_json(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return alerts

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health."""
        groups = get_json(f"{self.url}/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    @staticmethod
    def _vector(answer: dict[str, Any]) -> list[dict[str, Any]]:
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        samples: list[dict[str, Any]] = data["result"]
        return samples

    def _config(self) -> dict[str, Any]:
        return {
            "global": {"scrape_interval": self._interval, "evaluation_interval": self._interval},
            "rule_files": [str(path) for path in self._rule_files],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": self._alertmanagers}]}]},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                for job, addresses in self._targets.items()
            ],
        }
