"""What a person can choose: how long, how fast, on which broker."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from devstack.demo.faults import EVERY

Broker = Literal["embedded", "apache"]
Delivery = Literal["at-least-once", "exactly-once"]

DEFAULT_RATE = 500.0
"""Events per second: half a year of flights in less than six minutes."""

FIRST_WITHIN = 60.0
"""Seconds after the command until a newcomer sees a prediction, where no model has to be trained first."""

FIRST_DAY = date(2013, 7, 1)
"""A model of January to March meets summer: that shows what it is worth, and what a newer one is."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, checked.

    Attributes
    ----------
    seconds
        How long the replay runs, counted from its first event; None until Ctrl-C or the year's end.
    kafka
        ``embedded`` (Tansu, in memory) or ``apache`` (Kafka on the JVM).
    rate
        Events per second.
    faults_every
        One bad event after so many good ones; 0 for none.
    begin
        Day of 2013 whose flights come first.
    first_within
        Seconds after the command by which the first prediction is there, unless the model was trained first.
    """

    seconds: float | None = None
    kafka: Broker = "embedded"
    rate: float = DEFAULT_RATE
    faults_every: int = EVERY
    begin: date = FIRST_DAY
    first_within: float = FIRST_WITHIN

    @property
    def delivery(self) -> Delivery:
        """The guarantee that the broker can give: Tansu has no transactions."""
        return "exactly-once" if self.kafka == "apache" else "at-least-once"


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Return the options in the command line; exits with code 2 and a sentence where one is wrong.

    Examples
    --------
    >>> parse_options(["--seconds", "60", "--kafka", "apache"]).delivery
    'exactly-once'
    """
    parser = argparse.ArgumentParser(
        prog="python -m devstack.demo",
        description="Streams the real flights of 2013 through a real model on a Kafka-compatible broker.",
    )
    parser.add_argument(
        "--seconds", type=_positive, help="stop after so many seconds of replay (default: Ctrl-C)"
    )
    parser.add_argument(
        "--kafka",
        choices=("embedded", "apache"),
        default="embedded",
        help="embedded: Tansu, at least once; apache: Apache Kafka, exactly once (default: embedded)",
    )
    parser.add_argument(
        "--rate", type=_positive, default=DEFAULT_RATE, help="events per second (default: %(default)g)"
    )
    parser.add_argument(
        "--faults-every",
        type=_count,
        default=EVERY,
        metavar="N",
        help="one bad event after every N good ones, 0 for none (default: %(default)s)",
    )
    parser.add_argument(
        "--begin",
        type=_day,
        default=FIRST_DAY,
        metavar="MONTH-DAY",
        help="day of 2013 whose flights come first (default: 07-01)",
    )
    parser.add_argument(
        "--first-within",
        type=_positive,
        default=FIRST_WITHIN,
        metavar="SECONDS",
        help="a first prediction later than that is a problem, unless the model was trained first "
        "(default: %(default)g)",
    )
    return Options(**vars(parser.parse_args(arguments)))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(f"2013-{text}")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no day of 2013 like 07-01") from None


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value
