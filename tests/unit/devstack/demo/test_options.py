from datetime import date

import pytest

from devstack.demo.options import Options, parse_options


def test_without_arguments_it_runs_until_told_otherwise_on_the_embedded_broker() -> None:
    assert parse_options([]) == Options(seconds=None, kafka="embedded", rate=500, faults_every=400)


def test_all_of_it_can_be_chosen() -> None:
    chosen = parse_options(["--seconds", "60", "--kafka", "apache", "--rate", "2000", "--faults-every", "0"])
    assert chosen == Options(seconds=60, kafka="apache", rate=2000, faults_every=0, begin=date(2013, 7, 1))
    assert parse_options(["--begin", "01-15"]).begin == date(2013, 1, 15)


@pytest.mark.parametrize(("broker", "delivery"), [("embedded", "at-least-once"), ("apache", "exactly-once")])
def test_each_broker_gives_the_guarantee_it_can(broker: str, delivery: str) -> None:
    assert parse_options(["--kafka", broker]).delivery == delivery


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rate", "0"], "argument --rate: 0 is not above 0"),
        (["--seconds", "-1"], "argument --seconds: -1 is not above 0"),
        (["--seconds", "nan"], "argument --seconds: nan is not above 0"),
        (["--rate", "fast"], "argument --rate: invalid _positive value: 'fast'"),
        (["--faults-every", "-3"], "argument --faults-every: -3 is below 0"),
        (["--begin", "02-30"], "argument --begin: 02-30 is no day of 2013 like 07-01"),
        (["--kafka", "pulsar"], "argument --kafka: invalid choice: 'pulsar'"),
    ],
)
def test_a_wrong_value_is_named(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(arguments)
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err
