"""All contenders, in the order in which a round runs them."""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.contenders.contender import Contender
from loadtest.contenders.driftline import driftlines
from loadtest.contenders.echo import echoes
from loadtest.contenders.peers import peers
from loadtest.errors import LoadTestError


def select(only: Sequence[str] = ()) -> list[Contender]:
    """Return the contenders whose names contain any of the given words; all for none.

    Raises
    ------
    LoadTestError
        A word fits no contender.

    Examples
    --------
    >>> [contender.name for contender in select(["echo", "exactly-once, l"])]
    ['echo, plain aiokafka', 'echo, columns', 'Driftline exactly-once, logistic']
    """
    everyone = [*echoes(), *driftlines(), *peers()]
    for word in only:
        if not any(word.lower() in contender.name.lower() for contender in everyone):
            names = "; ".join(contender.name for contender in everyone)
            raise LoadTestError(f"--only {word}: no contender is called that ({names})")
    return [c for c in everyone if not only or any(word.lower() in c.name.lower() for word in only)]
