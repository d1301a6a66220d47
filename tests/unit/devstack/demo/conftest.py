import pandas as pd
import pytest

from devstack.demo.flights import load_flights


@pytest.fixture(scope="session")
def year() -> pd.DataFrame:
    """All flights of 2013, as the demo replays them."""
    return load_flights()
