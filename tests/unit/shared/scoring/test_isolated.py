"""A model in its own process: the same answers, and whatever it does is cut off in time."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from shared.errors import BundleError, WrongShape
from shared.scoring.isolated import IsolatedSession, ModelLost
from shared.scoring.scorer import Scorer
from tests.models import linear, numeric_spec, table, table_spec, write_bundle


@pytest.fixture
def linear_session(tmp_path: Path):
    bundle = write_bundle(tmp_path / "demo", linear(3), numeric_spec(3))
    session = IsolatedSession(bundle.model_path, time_limit=1.0)
    session.begin()
    yield bundle, session
    session.close()


def test_it_answers_as_the_model_in_this_process_does(linear_session) -> None:
    bundle, session = linear_session
    columns = [np.linspace(-2, 2, 5000) * factor for factor in (1, 2, 3)]
    here, there = Scorer.load(bundle).predict(columns), Scorer.over(bundle, session).predict(columns)
    assert here.score.tolist() == there.score.tolist()
    assert here.classes is not None
    assert there.classes is not None
    assert here.classes.tolist() == there.classes.tolist()


def test_its_time_is_processor_time_which_a_stopped_process_does_not_spend(linear_session) -> None:
    bundle, session = linear_session
    scorer = Scorer.over(bundle, session)
    scorer.predict([np.zeros(100_000)] * 3)
    spent = session.cpu_seconds
    assert spent > 0
    os.kill(session._process.pid, signal.SIGSTOP)
    timer = threading.Timer(0.5, os.kill, (session._process.pid, signal.SIGCONT))
    timer.start()
    began = time.monotonic()
    session.begin()
    scorer.predict([np.zeros(10)] * 3)
    timer.join()
    assert time.monotonic() - began > 0.4
    assert session.cpu_seconds - spent < 0.3


def test_a_row_that_it_raises_on_is_refused_alone(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "table", table([1.0, 2.0]), table_spec(2))
    session = IsolatedSession(bundle.model_path)
    session.begin()
    scores = Scorer.over(bundle, session).predict([np.array([0.0, 1.0, 7.0, 1.0])])
    session.close()
    assert list(scores.failed) == [2]
    assert "out of data bounds" in str(scores.failed[2])
    assert scores.score[[0, 1, 3]].tolist() == [1.0, 2.0, 2.0]
    assert session.trouble is None


def test_a_hang_is_cut_off_and_the_process_started_again_after_a_pause(linear_session) -> None:
    bundle, session = linear_session
    scorer = Scorer.over(bundle, session)
    os.kill(session._process.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(ModelLost, match="did not answer within 1 s") as lost:
        scorer.predict([np.zeros(200_000)] * 3)  # more than the connection holds: the sending hangs too
    assert lost.value.loss == "Timeout"
    assert time.monotonic() - began < 20
    with pytest.raises(ModelLost, match="did not answer within 1 s") as lost:
        scorer.predict([np.zeros(1)] * 3)
    assert lost.value.loss == "Unavailable"
    session._next_start = 0.0
    assert scorer.predict([np.zeros(1)] * 3).score.tolist() == [0.5]
    assert (session.restarts, session.trouble) == (1, None)


def test_a_crash_is_told_with_its_signal(linear_session) -> None:
    bundle, session = linear_session
    os.kill(session._process.pid, signal.SIGSEGV)
    session._process.wait()
    with pytest.raises(ModelLost, match="was ended by signal 11") as lost:
        Scorer.over(bundle, session).predict([np.zeros(1)] * 3)
    assert lost.value.loss == "Crash"


def test_a_graph_that_is_none_is_refused_and_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="cannot be loaded by ONNX Runtime"):
        IsolatedSession(path)


def test_an_answer_of_another_shape_is_named(tmp_path: Path) -> None:
    spec = numeric_spec(3, task="multiclass", classes=("a", "b", "c"))
    bundle = write_bundle(tmp_path / "demo", linear(3), spec)
    scores = Scorer.load(bundle).predict([np.zeros(3)] * 3)
    assert [type(error) for error in scores.failed.values()] == [WrongShape] * 3
    assert str(scores.failed[0]) == "the model answered an array of shape (1, 2) for 1 rows"
