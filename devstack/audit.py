"""``python -m devstack.audit``: look up every locked package in PyPI's database of known vulnerabilities.

pip-audit passes over what the database does not answer for and calls the rest clean: behind a mirror
without that database it would find nothing wrong with anything. Here what was not looked up is a failure
of its own.

Exit code: 0 if all was looked up and nothing is known, 1 if something is, 3 if something was not looked up
(0 with ``--where-reachable`` where no database answers, for which one package is asked for).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LOCKS: Final = ("demo", "dev")
SMALLEST: Final = "uv"
"""Has one package: enough to see whether there is a database, without asking for all of them."""

VULNERABLE: Final = 1
NOT_LOOKED_UP: Final = 3


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of one lock file.

    Attributes
    ----------
    packages
        How many are locked; 0 where pip-audit itself broke off.
    known
        A sentence per vulnerability.
    unanswered
        Packages that the database did not answer for.
    """

    packages: int
    known: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether the database answered for anything."""
        return self.packages > len(self.unanswered)

    def exit_code(self) -> int:
        """Return what the command ends with.

        Examples
        --------
        >>> Audit(9).exit_code(), Audit(9, known=("django 1.0: GHSA-1",)).exit_code()
        (0, 1)
        >>> Audit(9, unanswered=("left-pad",)).exit_code(), Audit(0).exit_code()
        (3, 3)
        """
        if self.known:
            return VULNERABLE
        return NOT_LOOKED_UP if self.unanswered or not self.reached else 0


def understood(report: dict[str, Any]) -> Audit:
    """Return what pip-audit's JSON says.

    Examples
    --------
    >>> understood({"dependencies": [
    ...     {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]},
    ...     {"name": "b", "skip_reason": "not found"}]})
    Audit(packages=2, known=('a 1: PYSEC-1, mended in 2',), unanswered=('b',))
    """
    found = report["dependencies"]
    known = tuple(_known(one, bug) for one in found for bug in one.get("vulns", ()))
    return Audit(len(found), known, tuple(one["name"] for one in found if "skip_reason" in one))


def _known(package: dict[str, Any], bug: dict[str, Any]) -> str:
    mended = ", ".join(bug["fix_versions"]) or "none yet"
    return f"{package['name']} {package['version']}: {bug['id']}, mended in {mended}"


def looked_up(lock: Path) -> Audit:
    """Return what the database says of a lock file's packages."""
    pip_audit = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
    done = subprocess.run(
        [*pip_audit, "--progress-spinner", "off", "--format", "json", "--requirement", str(lock)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        return understood(json.loads(done.stdout))
    except (json.JSONDecodeError, KeyError):  # it has said why on its standard error
        return Audit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Look up both locks, say what is known, and return the exit code."""
    parser = argparse.ArgumentParser("python -m devstack.audit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--where-reachable", action="store_true", help="no failure where there is no database"
    )
    options = parser.parse_args(arguments)
    if options.where_reachable and not looked_up(_lock(SMALLEST)).reached:
        print(_sentence(Audit(0)))
        return 0
    codes = []
    for name in LOCKS:
        audit = looked_up(_lock(name))
        codes.append(audit.exit_code())
        print(f"{name}.lock: {_sentence(audit)}", *audit.known, sep="\n  ", flush=True)
    return VULNERABLE if VULNERABLE in codes else max(codes)


def _lock(name: str) -> Path:
    return Path("requirements") / f"{name}.lock"


def _sentence(audit: Audit) -> str:
    if not audit.reached:
        return "the database of known vulnerabilities did not answer: nothing was looked up"
    looked = f"{audit.packages - len(audit.unanswered)} of {audit.packages} packages looked up"
    missing = f", not {', '.join(audit.unanswered)}" if audit.unanswered else ""
    return f"{looked}{missing}, {len(audit.known)} vulnerabilities known"


if __name__ == "__main__":
    sys.exit(main())
