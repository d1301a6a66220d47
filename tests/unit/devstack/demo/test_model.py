from pathlib import Path

import msgspec
import pandas as pd
import pytest

from devstack.demo import model as subject
from devstack.demo.events import flight_events
from devstack.demo.recipes import CANDIDATE, MISTAKE, Recipe
from shared.bundle.read import load_bundle
from shared.scoring.events import EventDecoder
from shared.scoring.scorer import Scorer


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def built(year: pd.DataFrame, cache: Path) -> subject.FlightModel:
    return subject.prepare_model(year, cache)


def test_the_bundle_is_whole_and_named_after_its_content(built: subject.FlightModel) -> None:
    spec = load_bundle(built.bundle).spec
    assert (spec.name, spec.version) == ("flights", built.version)
    assert built.version == f"2013q1-{subject.content_key()[:8]}"
    assert built.fresh


def test_the_second_time_it_comes_from_the_cache(
    built: subject.FlightModel, cache: Path, year: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "train", None)  # training again would fail
    again = subject.prepare_model(year, cache)
    assert (again.bundle, again.version, again.auc) == (built.bundle, built.version, built.auc)
    assert not again.fresh


def test_a_damaged_bundle_in_the_cache_is_made_anew(
    built: subject.FlightModel, cache: Path, year: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rebuild(frame: pd.DataFrame, folder: Path, version: str, recipe: Recipe) -> None:
        (folder / "bundle").mkdir()
        for file, content in whole.items():
            (folder / "bundle" / file).write_bytes(content)
        (folder / "auc.json").write_bytes(msgspec.json.encode(built.auc))

    whole = {path.name: path.read_bytes() for path in built.bundle.iterdir()}
    monkeypatch.setattr(subject, "_build", rebuild)
    (built.bundle / "model.onnx").write_bytes(b"damaged")
    again = subject.prepare_model(year, cache)
    assert again.fresh
    assert load_bundle(again.bundle).digest


def test_other_code_is_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    before = subject.content_key()
    monkeypatch.setattr(subject, "library_version", lambda library: "0")
    assert subject.content_key() != before


def test_the_scorer_answers_for_real_events_as_measured(
    built: subject.FlightModel, year: pd.DataFrame
) -> None:
    from sklearn.metrics import roc_auc_score

    july = year[year["month"] == 7]
    scorer = Scorer.load(load_bundle(built.bundle))
    decoded = EventDecoder(scorer.spec).decode([event.value for event in flight_events(july, "flights")])
    scores = scorer.predict(decoded.features).score
    assert roc_auc_score(july["late"], scores) == pytest.approx(built.auc[7], abs=1e-5)


@pytest.mark.parametrize(("recipe", "worst"), [(CANDIDATE, 0.0), (MISTAKE, 0.05)])
def test_the_candidates_are_what_the_demo_says_of_them(
    cache: Path, year: pd.DataFrame, built: subject.FlightModel, recipe: Recipe, worst: float
) -> None:
    """The retrained one beats the champion in July and August, which neither has seen; the mistake loses."""
    later = year[year["month"].isin((7, 8))]
    values = [event.value for event in flight_events(later, "flights")]
    truth = later["late"].to_numpy()
    losses = []
    for model in (built, subject.prepare_model(year, cache, recipe)):
        scorer = Scorer.load(load_bundle(model.bundle))
        decoded = EventDecoder(scorer.spec).decode(values)
        assert len(decoded) == len(later)
        losses.append(((scorer.predict(decoded.features).score - truth) ** 2).mean())
    champion, candidate = losses
    assert (candidate > champion + worst) if worst else (candidate < champion - 0.001)
