"""``python -m devstack.demo``; exit code 0 only when all is well."""

from __future__ import annotations

import time

BEGAN_AT = time.monotonic()  # before the imports, which take a good part of the first seconds

import asyncio  # noqa: E402
import sys  # noqa: E402

import uvloop  # noqa: E402

from devstack.demo.app import demo  # noqa: E402
from devstack.demo.options import parse_options  # noqa: E402
from devstack.demo.start import Interrupted  # noqa: E402
from devstack.demo.view import open_view  # noqa: E402
from shared.errors import ServiceError  # noqa: E402

EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the demo and print its verdict; the last line of standard output is one JSON object."""
    options = parse_options()
    view = open_view()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            verdict = runner.run(demo(options, view, BEGAN_AT))
    except ServiceError as error:
        print(f"the demo could not start: {error}", file=sys.stderr)
        return 1
    except (Interrupted, KeyboardInterrupt):
        print("stopped before the end; nothing was checked", file=sys.stderr)
        return EXIT_INTERRUPTED
    for remark in verdict.remarks:
        view.say(remark)
    for problem in verdict.problems:
        view.say(f"NOT WELL: {problem}")
    if not verdict.problems:
        view.say("all is well: good events predicted, bad ones dead-lettered with their reason")
    print(verdict.last_line(), flush=True)
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
