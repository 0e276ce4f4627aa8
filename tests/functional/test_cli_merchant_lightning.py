"""A merchant's Lightning addresses from the command line: ours for them, and their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bitcache_server.services.lightning_addresses import TRUST
from tests.support.cli import Cli, write_config
from tests.support.databases import Databases
from tests.support.lnurl_provider import Provider, lnurl_provider


@pytest.fixture
def cli(tmp_path: Path, databases: Databases) -> Iterator[Cli]:
    with databases.fresh("sqlite") as url:
        config = write_config(
            tmp_path, database_url=url, rails=["lightning"], node_url=None,
            public_url="https://pay.example", lnurl_timeout_s=2, lightning_backend="scripted",
        )  # fmt: skip
        yield Cli(config)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with lnurl_provider() as made:
        yield made


def test_a_name_here(cli: Cli) -> None:
    jane = cli.ask("merchant", "add", "--name", "Jane", "--handle", "Jane")
    assert (jane["handle"], jane["address"]) == ("jane", "jane@pay.example")
    assert (jane["settlement"], jane["lightning_address"]) == ("pooled", None)
    assert "jane@pay.example" in cli.run("merchant", "show", jane["id"]).stdout
    words = ("merchant", "handle", jane["id"])
    assert cli.ask(*words, "jane.doe") == {
        "id": jane["id"],
        "handle": "jane.doe",
        "address": "jane.doe@pay.example",
    }
    assert cli.ask(*words, "--remove")["address"] is None
    assert "none" in cli.run(*words, "--remove").stdout


def test_names_that_are_refused(cli: Cli) -> None:
    jane = cli.ask("merchant", "add", "--name", "Jane", "--handle", "jane")
    assert cli.refuse("merchant", "add", "--name", "J", "--handle", "jane")[0] == "handle_taken"
    # A merchant is added with everything that was asked for, or not at all.
    assert [one["name"] for one in cli.ask("merchant", "list")["merchants"]] == ["Jane"]
    words = ("merchant", "handle", jane["id"])
    assert cli.refuse(*words, "admin")[0] == "handle_taken"
    assert cli.refuse(*words, "jane doe")[0] == "invalid_request"
    assert cli.refuse("merchant", "handle", "me_x", "x")[0] == "unknown_merchant"
    for wrong in ((), ("jane", "--remove")):
        assert cli.run(*words, *wrong).exit_code == 2


def test_an_address_of_their_own(cli: Cli, provider: Provider) -> None:
    address = provider.address
    bob = cli.ask("merchant", "add", "--name", "Bob", "--lightning-address", address.upper())
    assert (bob["settlement"], bob["lightning_address"]) == ("direct", address)
    jane = cli.ask("merchant", "add", "--name", "Jane")["id"]
    words = ("merchant", "lightning-address", jane)
    assert cli.ask(*words, address) == {"id": jane, "lightning_address": address}
    shown = cli.run(*words, address).stdout
    assert TRUST in shown
    assert address in cli.run("merchant", "show", jane).stdout
    assert "commission owed to you" in cli.run("merchant", "show", jane).stdout
    assert cli.ask(*words, "--remove")["lightning_address"] is None
    assert TRUST not in cli.run(*words, "--remove").stdout
    assert cli.ask("merchant", "show", jane)["settlement"] == "pooled"


def test_addresses_that_are_refused(cli: Cli, provider: Provider) -> None:
    provider.invoice["verify"] = None
    add = ("merchant", "add", "--name", "Bob", "--lightning-address")
    code, detail = cli.refuse(*add, provider.address)
    assert code == "lightning_address_invalid"
    assert "LUD-21" in detail
    assert cli.refuse(*add, "bob")[0] == "lightning_address_invalid"
    assert cli.ask("merchant", "list")["merchants"] == []
    jane = cli.ask("merchant", "add", "--name", "Jane", "--handle", "jane")["id"]
    words = ("merchant", "lightning-address", jane)
    assert cli.refuse(*words, provider.address)[0] == "lightning_address_invalid"
    provider.invoice.clear()
    code, detail = cli.refuse(*words, provider.address)
    assert code == "invalid_request"
    assert "bitcache merchant handle MERCHANT --remove" in detail
    for wrong in ((), (provider.address, "--remove")):
        assert cli.run(*words, *wrong).exit_code == 2


def test_not_without_lightning(tmp_path: Path, databases: Databases) -> None:
    with databases.fresh("sqlite") as url:
        cli = Cli(write_config(tmp_path, database_url=url, rails=["fake"], node_url=None))
        add = ("merchant", "add", "--name", "Bob", "--lightning-address", "bob@wallet.example")
        assert cli.refuse(*add)[0] == "unknown_rail"


@pytest.mark.parametrize("rails", [["lightning"], ["fake"]])
def test_no_name_where_nobody_could_pay(
    tmp_path: Path, databases: Databases, rails: list[str]
) -> None:
    with databases.fresh("sqlite") as url:
        cli = Cli(write_config(tmp_path, database_url=url, rails=rails, node_url=None))
        add = ("merchant", "add", "--name", "Jane")
        code, detail = cli.refuse(*add, "--handle", "jane")
        assert code == "invalid_request"
        assert "lightning_backend" in detail
        assert cli.ask("merchant", "list")["merchants"] == []
        jane = cli.ask(*add)["id"]
        assert cli.refuse("merchant", "handle", jane, "jane")[0] == "invalid_request"
        # What was given while there was a node can still be taken away.
        assert cli.ask("merchant", "handle", jane, "--remove")["address"] is None
