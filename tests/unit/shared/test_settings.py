from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr

from shared.errors import ConfigError
from shared.logs import redact
from shared.settings import CommaSeparated, ServiceSettings, load_settings
from shared.settings.__main__ import fill

ROOT = Path(__file__).parents[3]


class Settings(ServiceSettings):
    """Settings of a service under test."""

    service: ClassVar[str] = "inference"

    models: CommaSeparated = Field(default=(), description="Models")
    workers: int = Field(default=1, ge=1, description="Workers")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DRIFTLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS", "broker:9092")


def problems(*argv: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(Settings, argv)
    return caught.value.problems


def config(tmp_path: Path, text: str) -> str:
    file = tmp_path / "driftline.toml"
    file.write_text(text)
    return str(file)


def test_flags_win_over_environment_over_service_table_over_file_over_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = config(
        tmp_path,
        'http_port = 1\nworkers = 1\ntopic_prefix = "file."\ngroup_prefix = "file"\n'
        '[inference]\nhttp_port = 2\nworkers = 2\ntopic_prefix = "table."\n'
        "[drift]\nanything = 3\n",
    )
    monkeypatch.setenv("DRIFTLINE_CONFIG", file)
    monkeypatch.setenv("DRIFTLINE_HTTP_PORT", "3")
    monkeypatch.setenv("DRIFTLINE_WORKERS", "3")
    settings = load_settings(Settings, ["--http-port", "4"])
    assert (settings.http_port, settings.workers, settings.topic_prefix, settings.group_prefix) == (
        4,
        3,
        "table.",
        "file",
    )
    assert settings.log_level == "INFO"
    assert settings.group == "file.inference"


def test_overrides_win_over_all_and_none_is_no_override() -> None:
    settings = load_settings(Settings, ["--http-port", "4"], overrides={"http_port": 5, "topic_prefix": None})
    assert (settings.http_port, settings.topic_prefix) == (5, "")


def test_a_list_is_written_with_commas_or_as_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(Settings, ["--models", "a, b,"]).models == ("a", "b")
    file = config(tmp_path, 'models = ["c", "d"]')
    assert load_settings(Settings, ["--config", file]).models == ("c", "d")
    monkeypatch.setenv("DRIFTLINE_MODELS", "e,f")
    assert load_settings(Settings, ["--config", file]).models == ("e", "f")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_HTTP_PORT", "")
    assert load_settings(Settings).http_port == 8080


def test_every_bad_key_is_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS")
    monkeypatch.setenv("DRIFTLINE_WORKERS", "none")
    monkeypatch.setenv("DRIFTLINE_KAFKA_SASL_USERNAME", "me")
    monkeypatch.setenv("DRIFTLINE_TOPIC_PREFFIX", "x")
    file = config(tmp_path, 'log_levle = "INFO"\nlog_format = "xml"\n')
    assert sorted(problems("--config", file, "--http-port", "70000", "--http-hots", "x")) == [
        "--http-hots: there is no such flag; did you mean --http-host?",
        "--http-port: input should be less than or equal to 65535, not '70000'",
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS: is required (or --kafka-bootstrap-servers, or "
        "kafka_bootstrap_servers in the file)",
        "DRIFTLINE_KAFKA_SASL_USERNAME: has no effect where kafka_security_protocol is PLAINTEXT; did you "
        "mean SASL_SSL?",
        "DRIFTLINE_TOPIC_PREFFIX: there is no such setting; did you mean DRIFTLINE_TOPIC_PREFIX?",
        "DRIFTLINE_WORKERS: input should be a valid integer, unable to parse string as an integer, "
        "not 'none'",
        f"log_format in {file}: input should be 'json' or 'console', not 'xml'",
        f"log_levle in {file}: there is no such setting; did you mean log_level?",
    ]


@pytest.mark.parametrize("value", ["broker", "broker:", "broker:0", "broker:70000", ":9092", "a:1,b"])
def test_a_broker_without_host_or_port_is_refused(value: str) -> None:
    (problem,) = problems("--kafka-bootstrap-servers", value)
    assert problem == f"--kafka-bootstrap-servers: {value.removeprefix('a:1,')!r} is not host:port"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--kafka-security-protocol", "SASL_SSL"], ["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]),
        (["--kafka-security-protocol", "SSL", "--kafka-ssl-cert-file", __file__], ["KAFKA_SSL_KEY_FILE"]),
        (["--kafka-security-protocol", "SSL", "--kafka-ssl-key-file", __file__], ["KAFKA_SSL_CERT_FILE"]),
    ],
)
def test_settings_that_need_each_other_name_both(argv: list[str], expected: list[str]) -> None:
    found = problems(*argv)
    assert [problem.partition(":")[0] for problem in found] == [f"DRIFTLINE_{key}" for key in expected]
    assert all("is required wi" in problem or "is required where kafka_sec" in problem for problem in found)


def test_a_certificate_without_tls_has_no_effect_and_is_refused() -> None:
    (problem,) = problems("--kafka-ssl-ca-file", __file__)
    assert problem == (
        "--kafka-ssl-ca-file: has no effect where kafka_security_protocol is PLAINTEXT; did you mean SSL or "
        "SASL_SSL?"
    )


def test_protocol_and_level_may_be_written_in_lower_case() -> None:
    settings = load_settings(Settings, ["--log-level", "debug", "--kafka-security-protocol", "ssl"])
    assert (settings.log_level, settings.kafka_security_protocol) == ("DEBUG", "SSL")


SASL = ("--kafka-security-protocol", "SASL_SSL", "--kafka-sasl-username", "me")


@pytest.mark.parametrize("source", ["environment", "flag", "file"])
def test_a_secret_may_lie_in_a_file(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("pass word \n")
    argv = list(SASL)
    if source == "environment":
        monkeypatch.setenv("DRIFTLINE_KAFKA_SASL_PASSWORD_FILE", str(secret))
    elif source == "flag":
        argv += ["--kafka-sasl-password-file", str(secret)]
    else:
        argv += ["--config", config(tmp_path, f'kafka_sasl_password_file = "{secret}"')]
    assert load_settings(Settings, argv).kafka_sasl_password == SecretStr("pass word ")


def test_a_missing_secret_file_is_one_problem() -> None:
    assert problems(*SASL, "--kafka-sasl-password-file", "/nowhere/x") == [
        "--kafka-sasl-password-file: cannot read /nowhere/x: No such file or directory"
    ]


def test_a_secret_given_twice_in_one_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("DRIFTLINE_KAFKA_SASL_PASSWORD_FILE", str(tmp_path))
    assert problems(*SASL) == [
        "DRIFTLINE_KAFKA_SASL_PASSWORD_FILE: DRIFTLINE_KAFKA_SASL_PASSWORD is set as well; set one of them"
    ]


def test_a_password_has_no_flag() -> None:
    assert problems(*SASL, "--kafka-sasl-password", "hunter2")[0] == (
        "--kafka-sasl-password: there is no such flag; did you mean --kafka-sasl-password-file?"
    )


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_KAFKA_SASL_PASSWORD", "correct-horse")
    monkeypatch.setenv("DRIFTLINE_REDIS_URL", "redis://user:battery-staple@cache:6379")
    settings = load_settings(Settings, SASL)
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "correct-horse" not in shown
    assert "battery-staple" not in shown
    assert redact("login with correct-horse, then battery-staple") == "login with **********, then **********"


def test_a_password_in_a_query_or_in_the_bundle_store_is_hidden_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_REDIS_URL", "unix:///run/r.sock?db=1&password=hunter%2022")
    monkeypatch.setenv("DRIFTLINE_BUNDLE_STORE", "s3://AKIA:wJalr/XUtn@models?token=zeppelin")
    settings = load_settings(Settings, [])
    said = redact(f"{settings.bundle_store} {settings.redis_url.get_secret_value()} auth hunter 22 refused")
    for secret in ("hunter%2022", "hunter 22", "wJalr/XUtn", "zeppelin"):
        assert secret not in said
    assert "models" in said
    assert "/run/r.sock?db=1" in said


def test_no_error_quotes_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_REDIS_URL", "http://user:battery-staple@cache")
    monkeypatch.setenv("DRIFTLINE_KAFKA_SASL_PASSWORD", "correct-horse")
    found = problems()
    assert [problem.partition(":")[0] for problem in found] == [
        "DRIFTLINE_REDIS_URL",
        "DRIFTLINE_KAFKA_SASL_PASSWORD",
    ]
    assert not any("staple" in problem or "horse" in problem for problem in found)


def test_constructing_settings_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_HTTP_PORT", "1")
    assert Settings(kafka_bootstrap_servers="a:1").http_port == 8080


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, "cannot read {}: No such file or directory"), ("a = ", "{} is not TOML: ")],
)
def test_a_config_file_that_cannot_be_used(text: str | None, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "driftline.toml"
    if text is not None:
        file.write_text(text)
    (problem,) = problems("--config", str(file))
    assert problem.startswith("DRIFTLINE_CONFIG: " + expected.format(file))


def test_variables_of_services_do_not_disturb_a_lenient_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lenient(ServiceSettings):
        strict_environment: ClassVar[bool] = False

    monkeypatch.setenv("DRIFTLINE_MODELS", "a")
    assert load_settings(Lenient).http_port == 8080
    with pytest.raises(ConfigError, match="DRIFTLINE_MODELS: there is no such setting"):
        load_settings(ServiceSettings)


def test_help_names_every_flag_its_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        load_settings(Settings, ["--help"])
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "driftline run inference" in text
    assert "--workers VALUE Workers (DRIFTLINE_WORKERS; default: 1)" in text
    assert "(DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS; required)" in text


def test_the_configuration_document_is_current() -> None:
    document = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert fill(document) == document, "run python -m shared.settings docs/configuration.md"
    assert "| `http_port` | `8080` |" in document
