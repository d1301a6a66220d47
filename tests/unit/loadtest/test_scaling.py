from loadtest.errors import LoadTestError
from loadtest.measure import Measurement
from loadtest.scenarios import scaling

OPTIONS = scaling.ScalingOptions(events=100, rounds=2)


def measured_on_paper(monkeypatch, failing=None):
    """Every event costs a microsecond per feature and one more; the echo costs one."""

    async def measure(contender, servers, load, model, *, processes=1):
        if processes == failing:
            raise LoadTestError("it did not start")
        cpu = 1.0 + (len(model.features) if model else 0)
        return Measurement(
            load.backlog.events, 1.0, 1.0, cpu, 50_000, 100.0 * processes, 2.0, 300.0, 200.0, 1_000.0
        )

    class Model:
        def __init__(self, name, folder, *, features):
            assert folder.is_dir()  # a bundle is not written into a folder that is not there
            self.features = [""] * features

    monkeypatch.setattr(scaling, "measure", measure)
    monkeypatch.setattr(scaling, "make_model", Model)


async def test_every_axis_has_a_table_a_plot_and_its_rounds(monkeypatch, tmp_path):
    measured_on_paper(monkeypatch)
    report = await scaling.run("", OPTIONS)
    assert list(report.figures) == [
        "features",
        "partitions",
        "processes",
        "model",
        "a million events a second",
    ]
    assert report.figures["features"]["200"]["cpu_us"]["median"] == 201.0
    assert len(report.figures["processes"]["4"]["rounds"]) == 2
    wide = next(line for line in report.text[0].splitlines() if line.startswith("| 200 "))
    cells = [cell.strip() for cell in wide.strip("|").split("|")]
    assert cells[1:6] == [
        "20",
        "201.0 (201.0..201.0)",
        "4,975 (4,975..4,975)",
        "18.27 (18.27..18.27)",
        "201.0 (201.0..201.0)",
    ]
    report.write(tmp_path / "scaling.json")
    drawn = sorted(path.name for path in (tmp_path / "scaling").iterdir())
    assert drawn == ["features.svg", "model.svg", "partitions.svg", "processes.svg"]


async def test_a_point_that_fails_is_named_and_the_others_stand(monkeypatch):
    measured_on_paper(monkeypatch, failing=3)
    report = await scaling.run("", OPTIONS)
    assert [failure.partition(": ")[0] for failure in report.failures] == ["round 1", "round 2"]
    assert "3 processes" in report.failures[0]
    assert list(report.figures["processes"]) == ["1", "2", "4"]
