"""NannyML's UnivariateDriftCalculator at its defaults, a chunk per window; run by the peer's own interpreter.

Reads an ``.npz`` with ``reference`` (rows, columns) and ``windows`` (windows, rows, columns); prints
the columns that each window's alerts name, as JSON, one list per window.
"""

import json
import os
import sys
import warnings

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.simplefilter("ignore")

import nannyml as nml  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402


def main() -> None:
    data = np.load(sys.argv[1])
    windows = data["windows"]
    names = [f"f{i}" for i in range(windows.shape[2])]
    calculator = nml.UnivariateDriftCalculator(column_names=names, chunk_size=windows.shape[1])
    calculator.fit(pd.DataFrame(data["reference"], columns=names))
    stream = pd.DataFrame(windows.reshape(-1, len(names)), columns=names)
    found = calculator.calculate(stream).filter(period="analysis").to_df()
    alerts = {name: found[name]["jensen_shannon"]["alert"].tolist() for name in names}
    flagged = [[i for i, name in enumerate(names) if alerts[name][k]] for k in range(len(windows))]
    print(json.dumps(flagged))


main()
