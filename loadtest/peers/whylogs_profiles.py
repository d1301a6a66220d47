"""whylogs' drift scores at their defaults, a profile per window; run by the peer's own interpreter.

Reads an ``.npz`` with ``reference`` (rows, columns) and ``windows`` (windows, rows, columns); prints
the columns that each window's scores put into the category DRIFT, as JSON, one list per window.
"""

import json
import os
import sys
import warnings

os.environ["WHYLOGS_NO_ANALYTICS"] = "True"
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import whylogs as why  # noqa: E402
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores  # noqa: E402


def main() -> None:
    data = np.load(sys.argv[1])
    names = [f"f{i}" for i in range(data["reference"].shape[1])]
    reference = why.log(pd.DataFrame(data["reference"], columns=names)).view()
    flagged = []
    for window in data["windows"]:
        current = why.log(pd.DataFrame(window, columns=names)).view()
        scores = calculate_drift_scores(target_view=current, reference_view=reference, with_thresholds=True)
        drifted = [i for i, n in enumerate(names) if scores[n] and scores[n]["drift_category"] == "DRIFT"]
        flagged.append(drifted)
    print(json.dumps(flagged))


main()
