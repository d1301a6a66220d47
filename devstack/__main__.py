"""``python -m devstack``: start the parts for a person at a terminal, or fetch and lock the jars."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack

from devstack.apache_kafka import ApacheKafka
from devstack.debian import install_programs
from devstack.embedded_kafka import EmbeddedKafka
from devstack.errors import DevstackError
from devstack.jars import kafka_jars, kafka_version, lock_jars
from devstack.redis_server import RedisServer


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code (1 where a part cannot be had)."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "up":
            return up(options)
        if options.command == "install-monitoring":
            print("\n".join(install_programs()))
        elif options.command == "fetch":
            print(f"Apache Kafka {kafka_version()}: {len(kafka_jars())} jars, verified")
        else:
            print(f"Apache Kafka {kafka_version()}: {lock_jars()} jars locked")
    except KeyboardInterrupt:
        return 130
    except DevstackError as error:
        print(f"devstack: {error}", file=sys.stderr)
        return 1
    return 0


def up(options: argparse.Namespace) -> int:
    """Start what was asked for, print what to export, and wait for Ctrl-C or SIGTERM."""
    stop = {signal.SIGINT, signal.SIGTERM}
    with ExitStack() as stack:
        kafka = ApacheKafka(options.nodes, options.data_dir) if options.kafka == "apache" else EmbeddedKafka()
        stack.enter_context(kafka)
        print(f"export DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap_servers}")
        if options.redis:
            print(f"export DRIFTLINE_REDIS_URL={stack.enter_context(RedisServer()).url}")
        # Blocked only now, because the parts would inherit it; a signal that comes from here on waits.
        signal.pthread_sigmask(signal.SIG_BLOCK, stop)
        print(f"# running (pid {os.getpid()}); Ctrl-C stops it", flush=True)
        signal.sigwait(stop)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start a broker (and Redis), print the variables, wait for Ctrl-C")
    start.add_argument("--kafka", choices=["apache", "embedded"], default="apache")
    start.add_argument("--nodes", type=int, choices=[1, 3], default=1, help="of Apache Kafka")
    start.add_argument("--data-dir", help="keep Apache Kafka's data here (default: a scratch folder)")
    start.add_argument("--redis", action="store_true", help="start Redis too")
    commands.add_parser("fetch", help="resolve the jars of Apache Kafka ahead of time")
    commands.add_parser(
        "install-monitoring", help="install Prometheus, Alertmanager and rsyslog from Debian's packages"
    )
    commands.add_parser("lock-jars", help="write jars.lock from what Maven resolves")
    return parser


if __name__ == "__main__":
    sys.exit(main())
