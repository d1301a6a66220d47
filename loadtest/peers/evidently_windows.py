"""Evidently's DataDriftPreset at its defaults on windows; run by the peer's own interpreter.

Reads an ``.npz`` with ``reference`` (rows, columns) and ``windows`` (windows, rows, columns); prints
the columns that each window's report calls drifted, as JSON, one list per window.
"""

import json
import sys
import warnings

import numpy as np
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset

warnings.simplefilter("ignore")


def main() -> None:
    data = np.load(sys.argv[1])
    names = [f"f{i}" for i in range(data["reference"].shape[1])]
    reference = pd.DataFrame(data["reference"], columns=names)
    flagged = []
    for window in data["windows"]:
        report = Report([DataDriftPreset()], include_tests=True)
        found = report.run(pd.DataFrame(window, columns=names), reference).dict()
        drifted = []
        for test in found["tests"]:
            metric = test["metric_config"]["params"]
            if test["status"] == "FAIL" and metric.get("column") in names:
                drifted.append(names.index(metric["column"]))
        flagged.append(drifted)
    print(json.dumps(flagged))


main()
