from pathlib import Path

from devstack.demo.folder import KEEP_RUNS, new_run_folder


def test_the_newest_runs_are_kept(tmp_path: Path) -> None:
    for day in range(1, 8):
        (tmp_path / f"2013010{day}-000000-1").mkdir()
    fresh = new_run_folder(tmp_path)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == KEEP_RUNS
    assert kept == ["20130105-000000-1", "20130106-000000-1", "20130107-000000-1", fresh.name]
    assert fresh.is_dir()


def test_the_first_run_makes_its_parents(tmp_path: Path) -> None:
    assert new_run_folder(tmp_path / "a" / "b").parent == tmp_path / "a" / "b"
