"""The composition root turns settings into the outside world."""

from pathlib import Path

import pytest

from bitcache_server import wiring
from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.rates.http_sources import HttpRateSource
from tests.support.world import make_settings


def test_an_operators_own_rate_source_is_asked_beside_the_known_ones(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path,
        fixed_rates={},
        rate_sources=["kraken"],
        rate_base_urls={"kraken": "http://127.0.0.1:1"},
        rate_custom_sources={
            "ours": {"url": "http://127.0.0.1:2/btc/{currency}", "json_path": "last.{currency}"}
        },
    )
    kraken, ours = wiring.build(settings, rails={}).rate_sources
    assert kraken.name == "kraken"
    assert isinstance(kraken, HttpRateSource)
    assert kraken.url_template.startswith("http://127.0.0.1:1/")
    assert ours == HttpRateSource(
        "ours", "http://127.0.0.1:2/btc/{currency}", "last.{currency}", settings.rate_timeout_s
    )


def test_fixed_rates_stand_in_for_all_sources(tmp_path: Path) -> None:
    [source] = wiring.build(make_settings(tmp_path), rails={}).rate_sources
    assert source.name == "fixed"
    assert source.fetch("USD") == 1000


def test_a_source_of_ones_own_needs_an_address(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path, fixed_rates={}, rate_custom_sources={"ours": {"url": "x", "json_path": "a"}}
    )
    with pytest.raises(ConfigurationError, match="ours"):
        wiring.build(settings, rails={})


def test_the_node_is_needed_only_by_the_rail_that_asks_it(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, rails=["onchain"])
    with pytest.raises(ConfigurationError, match="BITCACHE_NODE_URL"):
        wiring.build(settings)
