"""From settings to the Lightning rail: what is missing or wrong is said at the start."""

from pathlib import Path
from typing import Any

import pytest

from bitcache_server import wiring
from bitcache_server.domain.errors import ConfigurationError, LightningAddressInvalid
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.rails.lightning.registry import BackendSettings, make_backend
from tests.support.world import make_settings


def _rail(folder: Path, **settings: Any) -> LightningRail:
    built = wiring.build(make_settings(folder, rails=["lightning"], **settings))
    rail = built.rail("lightning")
    assert isinstance(rail, LightningRail)
    return rail


def test_without_a_backend_it_is_well_and_pays_nobody(tmp_path: Path) -> None:
    rail = _rail(tmp_path)
    assert rail.health().ok
    assert rail.held_msat([]) == 0
    assert rail.check_account("") == rail.check_account(" ") == ""


def test_accounts_are_lightning_addresses(tmp_path: Path) -> None:
    rail = _rail(tmp_path)
    assert rail.check_account(" Jane@Wallet.Example ") == "jane@wallet.example"
    for text in ("jane", "wpkh(xpub)", "jane@", "@wallet.example"):
        with pytest.raises(LightningAddressInvalid):
            rail.check_account(text)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lightning_backend": "nodeflix"}, "There is no Lightning backend 'nodeflix'"),
        ({"lightning_backend": "lnbits"}, "lightning_secret is missing"),
        ({"lightning_backend": "nwc"}, "lightning_url is missing"),
        (
            {
                "lightning_backend": "lnd",
                "lightning_url": "https://127.0.0.1:8080",
                "lightning_secret": "hunter2",
            },
            "macaroon",
        ),
    ],
)
def test_what_is_wrong_is_said_at_the_start(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _rail(tmp_path, **settings)
    assert words in caught.value.detail
    assert "hunter2" not in caught.value.detail


def test_the_scripted_node_is_refused_in_production(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path,
        rails=["lightning"],
        lightning_backend="scripted",
        environment="production",
        fixed_rates={},
    )
    with pytest.raises(ConfigurationError):
        wiring.build(settings)


def test_no_secret_stands_in_a_repr(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path,
        rails=["lightning"],
        lightning_backend="lnbits",
        lightning_url="https://hunter2.example",
        lightning_secret="hunter2",
        lightning_payout_secret="hunter2",
    )
    built = wiring.build(settings)
    assert "hunter2" not in repr(settings) + repr(built) + repr(built.rail("lightning"))


@pytest.mark.parametrize("allow_fake", [True, False])
def test_fakes_are_named_only_where_they_are_allowed(allow_fake: bool) -> None:
    settings = BackendSettings("", "", "", "", 1, allow_fake)
    with pytest.raises(ConfigurationError) as caught:
        make_backend("nodeflix", settings)
    assert ("scripted" in caught.value.detail) == allow_fake
    assert "phoenixd" in caught.value.detail
