"""``make k8s-check``: renders every overlay and holds it against schemas and rules."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from devstack.errors import DevstackError
from devstack.k8s.generated import documents, stale
from devstack.k8s.policy import RULES, violations
from devstack.k8s.rendering import VERSIONS, overlays, render, schema_errors

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Return 0 when all is well, 1 with a sentence per fault otherwise."""
    parser = argparse.ArgumentParser(prog="python -m devstack.k8s", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the generated parts of k8s/ first")
    if parser.parse_args().write:
        for path, text in documents(ROOT).items():
            path.write_text(text, encoding="utf-8")
    problems = [f"{path.relative_to(ROOT)} is not current: run make k8s" for path in stale(ROOT)]
    try:
        for overlay in overlays(ROOT):
            problems += _check(overlay)
    except DevstackError as error:
        problems.append(str(error))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    print("RENDERED and VALIDATED only: no cluster was there to apply anything to")
    return 0


def _check(overlay: Path) -> list[str]:
    objects = render(overlay)
    found = [error for version in VERSIONS for error in schema_errors(objects, version)]
    found += violations(objects)
    state = "is well" if not found else f"has {len(found)} faults"
    print(
        f"{overlay.name}: {len(objects)} objects, schemas of Kubernetes {', '.join(VERSIONS)} and of the "
        f"custom resources, {len(RULES)} rules: {state}"
    )
    return [f"{overlay.name}: {text}" for text in dict.fromkeys(found)]


if __name__ == "__main__":
    sys.exit(main())
