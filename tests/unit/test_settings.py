"""Settings: where they come from, which one wins, and what a person is told when one is wrong."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.settings import ConfirmationStep, load_settings
from bitcache_server.settings.sources import FILE_SETTINGS, env_name

KEY = "k" * 40
NODE_URL = "http://rpcuser:hunter2@127.0.0.1:8332"


@pytest.fixture(autouse=True)
def _clean_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's variables nor a bitcache.toml in the checkout may play a part."""
    for variable in list(os.environ):
        if variable.startswith("BITCACHE_"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def error_of(**overrides: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**{"secret_key": KEY, **overrides})
    return caught.value.detail


def test_a_secret_key_is_all_that_is_needed(tmp_path: Path) -> None:
    settings = load_settings(secret_key=KEY)
    assert settings.environment == "production"
    assert settings.data_dir == tmp_path / "data"
    assert settings.files_dir == tmp_path / "data" / "files"
    assert settings.database_url == f"sqlite:///{tmp_path}/data/bitcache.sqlite3"
    assert settings.public_url == "http://127.0.0.1:8402"
    assert settings.events_url == "http://127.0.0.1:8403"
    assert settings.rails == ["onchain"]
    assert settings.commission_ppm == 10_000


def test_in_a_folder_without_a_shop_it_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert caught.value.detail == (
        f"There is no bitcache.toml in {tmp_path}. Go to the folder where you ran "
        "`bitcache init`, or set BITCACHE_CONFIG."
    )


def test_without_a_secret_key_it_says_which_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "bitcache.toml").write_text("port = 9000\n")
    with pytest.raises(ConfigurationError, match=r"secret_key \(BITCACHE_SECRET_KEY\)"):
        load_settings()


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bitcache.toml").write_text(
        f'secret_key = "{KEY}"\nport = 9000\nevents_port = 9001\n[fixed_rates]\nUSD = "1000.5"\n'
        "[[confirmations]]\nup_to_sat = 5\nconfirmations = 0\n"
        "[[confirmations]]\nconfirmations = 2\n"
    )
    monkeypatch.setenv("BITCACHE_PORT", "9100")
    settings = load_settings(environment="test")
    assert settings.port == 9100
    assert settings.events_port == 9001
    assert settings.fixed_rates == {"USD": Decimal("1000.5")}
    assert settings.confirmations == [
        ConfirmationStep(up_to_sat=5, confirmations=0),
        ConfirmationStep(up_to_sat=None, confirmations=2),
    ]


def test_another_file_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "etc" / "pay.toml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(f'secret_key = "{KEY}"\ngap_limit = 7\n')
    monkeypatch.setenv("BITCACHE_CONFIG", str(elsewhere))
    assert load_settings().gap_limit == 7


@pytest.mark.parametrize("name", FILE_SETTINGS)
def test_secrets_can_come_from_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    secrets = {"secret_key": KEY, "node_url": NODE_URL, "database_url": "postgresql://u:p@h/db"}
    secrets.setdefault(name, f"what {name} may be")
    (tmp_path / "secret").write_text(secrets[name] + "\n")
    monkeypatch.setenv(f"{env_name(name)}_FILE", str(tmp_path / "secret"))
    settings = load_settings(**({} if name == "secret_key" else {"secret_key": KEY}))
    value = getattr(settings, name)
    assert (value if isinstance(value, str) else value.get_secret_value()) == secrets[name]


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setenv("BITCACHE_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("BITCACHE_SECRET_KEY", KEY)
    with pytest.raises(ConfigurationError, match="not both"):
        load_settings()


def test_a_secret_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BITCACHE_SECRET_KEY_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match=r"BITCACHE_SECRET_KEY_FILE.*No such file"):
        load_settings()


def test_a_misspelt_key_in_the_file_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "bitcache.toml").write_text(f'secret_key = "{KEY}"\ncomission_ppm = 1\n')
    with pytest.raises(ConfigurationError, match=r"comission_ppm is no setting.*commission_ppm"):
        load_settings()


def test_a_misspelt_variable_gets_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITCACHE_COMISSION_PPM", "1")
    assert "Did you mean BITCACHE_COMMISSION_PPM?" in error_of()


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    (tmp_path / "bitcache.toml").write_text("port = = 1")
    assert "not valid TOML" in error_of()


def test_a_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITCACHE_CONFIG", "gone.toml")
    assert "BITCACHE_CONFIG" in error_of()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("port", "0", "greater than or equal to 1"),
        ("events_port", "x", "valid integer"),
        ("network", "dogecoin", "mainnet"),
        ("environment", "prod", "production"),
        ("commission_ppm", 1_000_001, "less than or equal to 1000000"),
        ("node_url", "http://127.0.0.1:8332", "user name and password"),
        ("node_url", "127.0.0.1:8332", "begins with http"),
        ("public_url", "pay.example", "begins with http"),
        ("public_url", "https://pay.example/?a=b", "plain address"),
        ("public_url", "https://pay.example:99999", "begins with http"),
        ("rate_base_urls", {"kraken": "kraken"}, "begins with http"),
        ("fixed_rates", {"XXX": "1"}, "not a currency"),
        ("fixed_rates", {"USD": "0"}, "not believable"),
        ("fixed_rates", {"USD": "NaN"}, "finite"),
        ("confirmations", [], "the last step"),
        ("confirmations", [{"up_to_sat": 5, "confirmations": 1}], "the last step"),
        ("confirmations", [{"confirmations": 1}, {"confirmations": 2}], "ascend"),
        ("confirmations", [{"confirmations": -1}], "greater than or equal to 0"),
        ("limit_invoices_per_address", "ten a minute", "10/minute"),
        ("secret_key", "short", "at least 32 characters"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(name: str, value: object, says: str) -> None:
    message = error_of(**{name: value})
    assert env_name(name) in message
    assert name in message
    assert says in message


def test_ascending_confirmations_are_required() -> None:
    bounds = (9, 8, None)
    steps = [{"up_to_sat": bound, "confirmations": 1} for bound in bounds]
    assert "ascend" in error_of(confirmations=steps)


def test_several_wrong_settings_are_all_named() -> None:
    message = error_of(port=0, network="x")
    assert "BITCACHE_PORT" in message
    assert "BITCACHE_NETWORK" in message


def test_a_variable_with_broken_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITCACHE_FIXED_RATES", "{USD: 1}")
    assert error_of() == "fixed_rates (BITCACHE_FIXED_RATES): must be valid JSON."


@pytest.mark.parametrize("text", ["onchain,fake", "onchain, fake", '["onchain", "fake"]'])
def test_lists_in_the_environment(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BITCACHE_RAILS", text)
    assert load_settings(secret_key=KEY, environment="test").rails == ["onchain", "fake"]


@pytest.mark.parametrize("fake", [{"rails": ["fake"]}, {"fixed_rates": {"USD": "1"}}])
def test_fakes_are_refused_in_production_and_only_there(fake: dict[str, Any]) -> None:
    assert "refused in production" in error_of(**fake)
    for environment in ("test", "development"):
        load_settings(secret_key=KEY, environment=environment, **fake)


def test_the_events_address_follows_the_public_one() -> None:
    def events(**overrides: Any) -> str:
        return load_settings(secret_key=KEY, **overrides).events_url

    assert events(public_url="https://pay.example/") == "https://pay.example:8403"
    assert events(bind_host="::1", events_port=9000) == "http://[::1]:9000"
    assert events(events_url="https://live.example") == "https://live.example"


def test_secrets_are_neither_shown_nor_repeated_in_errors() -> None:
    secrets = {
        "secret_key": "S3CRET" * 10,
        "node_url": NODE_URL,
        "database_url": "postgresql://u:hunter2@h/d",
        "rate_limit_storage": "redis://:hunter2@h",
    }
    settings = load_settings(**secrets)
    shown = repr(settings) + str(settings)
    assert "hunter2" not in shown
    assert "S3CRET" not in shown
    for wrong in ({"node_url": "ftp://u:hunter2@h"}, {"secret_key": "hunter2"}, {"port": "no"}):
        assert "hunter2" not in error_of(**{**secrets, **wrong})


def test_settings_do_not_change_after_the_start() -> None:
    settings = load_settings(secret_key=KEY)
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "port", 1)  # noqa: B010 - the type checker refuses it as well
