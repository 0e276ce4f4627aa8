"""The doctor without a node: machine, database, shop, rates, clock."""

import json
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.models.catalog import Item, Merchant, Site, SiteOrigin
from bitcache_server.models.operations import JobLease, RailStatus, StoredRate
from bitcache_server.services.deps import Deps
from bitcache_server.services.diagnose import diagnose
from bitcache_server.services.findings import Finding
from bitcache_server.settings import Settings, load_settings
from tests.support.cli import SECRET_KEY, Cli, account_key, write_config
from tests.support.databases import Databases, open_engine

NOW = 1_800_000_000


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with databases.fresh("sqlite") as fresh:
        yield fresh


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    engine = open_engine(url)
    with Session(engine) as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def settings(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("BITCACHE_CONFIG", str(write_config(tmp_path, database_url=url)))
    return load_settings(rails=["fake"], public_url="https://pay.example")


def deps_of(settings: Settings, **changes: Any) -> Deps:
    changed = settings.model_copy(update=changes)
    return wiring.build(changed, clock=lambda: NOW)


def find(deps: Deps, name: str) -> list[Finding]:
    return [finding for finding in diagnose(deps) if finding.name == name]


def codes(deps: Deps, name: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in find(deps, name)]


def add_shop(
    session: Session,
    *origins: str,
    file_path: str | None = None,
    descriptor: str | None = None,
    price: tuple[str, int] = ("EUR", 5),
) -> None:
    session.add(Merchant(id="me_1", name="J", descriptor=descriptor, created_at=0))
    session.flush()
    session.add(Site(id="st_1", merchant_id="me_1", name="B", secret_hash="x", created_at=0))
    session.flush()
    session.add_all(SiteOrigin(site_id="st_1", origin=origin) for origin in origins)
    session.add(
        Item(
            id="it_1",
            site_id="st_1",
            kind="file" if file_path else "article",
            title="T",
            teaser="",
            price_currency=price[0],
            price_amount=price[1],
            file_path=file_path,
            content_html=None if file_path else "x",
            created_at=0,
        )
    )
    session.commit()


def test_every_finding_that_is_not_fine_says_how_to_mend_it(settings: Settings) -> None:
    found = list(diagnose(deps_of(settings, public_url="http://pay.example", workers=4)))
    assert len(found) > 8
    assert [f for f in found if f.level != "ok" and not f.mend] == []
    assert [f for f in found if (f.level == "ok") != (f.code == "ok")] == []


def test_a_healthy_server_has_no_problem(settings: Settings, session: Session) -> None:
    Path(settings.files_dir).mkdir(parents=True)
    add_shop(session, "https://jane.example")
    session.add(
        RailStatus(
            rail="fake",
            ok=True,
            code="ok",
            detail="",
            tip_height=0,
            fee_rate_msat_per_vb=0,
            checked_at=NOW - 5,
            ok_at=NOW - 5,
        )
    )
    session.add(StoredRate(currency="EUR", price_per_btc="900", as_of=NOW - 5, sources="fixed"))
    session.commit()
    found = list(diagnose(deps_of(settings, trusted_proxies=1, fixed_rates={"EUR": 900})))
    assert [f for f in found if f.level != "ok"] == []


@pytest.mark.parametrize("name", ["bitcache.toml", "node-url"])
def test_secrets_that_everybody_can_read(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    secret = tmp_path / name
    secret.touch()
    monkeypatch.setenv("BITCACHE_NODE_URL_FILE", str(tmp_path / "node-url"))
    secret.chmod(0o600)
    assert ("problem", "secret_readable") not in codes(deps_of(settings), "secrets")
    modes = []
    for folder in (tmp_path, *tmp_path.parents):
        mode = folder.stat().st_mode & 0o7777
        if not mode & 0o001:
            modes.append((folder, mode))
            folder.chmod(mode | 0o001)
    try:
        secret.chmod(0o644)
        found = find(deps_of(settings), "secrets")
        assert any(str(secret) in f.found and f.mend == f"chmod 600 {secret}" for f in found)
        # Nobody gets through a closed folder, however open the file is.
        tmp_path.chmod(0o700)
        assert codes(deps_of(settings), "secrets") == [("ok", "ok")]
    finally:
        for folder, mode in modes:
            folder.chmod(mode)


def test_a_database_without_tables(settings: Settings, tmp_path: Path) -> None:
    deps = deps_of(settings, database_url=f"sqlite:///{tmp_path}/none/x.db")
    assert codes(deps, "database") == [("problem", "not_migrated")]
    assert find(deps, "sites") == []
    assert not (tmp_path / "none").exists()


def test_a_database_that_does_not_answer(settings: Settings) -> None:
    deps = deps_of(settings, database_url="postgresql://u:hunter2@127.0.0.1:1/x")
    [finding] = find(deps, "database")
    assert (finding.level, finding.code) == ("problem", "storage_unavailable")
    assert "hunter2" not in finding.found


def test_looking_writes_nothing(settings: Settings, session: Session) -> None:
    assert codes(deps_of(settings), "database") == [("ok", "ok")]
    assert session.scalars(select(JobLease)).all() == []


def test_postgresql_is_looked_at_too(databases: Databases, settings: Settings) -> None:
    with databases.fresh("postgresql") as url:
        deps = deps_of(settings, database_url=url)
        assert codes(deps, "database") == [("ok", "ok")]
        assert codes(deps, "sites") == [("warning", "no_site")]


def test_a_full_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, expected in ((99e6, "disk_full"), (500e6, "disk_nearly_full"), (2e9, "ok")):
        usage = type("Usage", (), {"free": int(free)})
        monkeypatch.setattr("shutil.disk_usage", lambda _folder, usage=usage: usage)
        assert [f.code for f in find(deps_of(settings), "disk")] == [expected]


@pytest.mark.parametrize(
    ("public", "events", "expected"),
    [
        ("https://pay.example", "https://pay.example:8403", ["ok"]),
        ("https://pay.example", "http://pay.example:8403", ["events_url_elsewhere"]),
        ("https://pay.example", "https://events.example", ["events_url_elsewhere"]),
        ("http://pay.example", "http://pay.example:8403", ["public_url_http", "ok"]),
        ("http://localhost:8402", "http://localhost:8403", ["public_url_local"]),
        ("http://127.0.0.2:8402", "http://127.0.0.2:8403", ["public_url_local"]),
        ("http://[::1]:8402", "http://[::1]:8403", ["public_url_local"]),
    ],
)
def test_addresses(settings: Settings, public: str, events: str, expected: list[str]) -> None:
    deps = deps_of(settings, public_url=public, events_url=events)
    assert [f.code for f in find(deps, "addresses")] == expected


def test_limits_that_count_per_process(settings: Settings) -> None:
    assert codes(deps_of(settings, workers=1), "limits") == [("ok", "ok")]
    assert codes(deps_of(settings, workers=3), "limits") == [("warning", "limits_per_process")]
    redis = deps_of(settings, workers=3, rate_limit_storage="redis://cache")
    assert codes(redis, "limits") == [("ok", "ok")]


def test_a_file_for_sale_that_is_gone(settings: Settings, session: Session) -> None:
    settings.files_dir.mkdir(parents=True)
    (settings.files_dir / "map.pdf").write_bytes(b"x")
    add_shop(session, "https://jane.example", file_path="map.pdf")
    assert codes(deps_of(settings), "files") == [("ok", "ok")]
    (settings.files_dir / "map.pdf").unlink()
    [finding] = find(deps_of(settings), "files")
    assert (finding.level, finding.code) == ("problem", "file_missing")
    assert "1 of 1" in finding.found
    assert "map.pdf (it_1)" in finding.found


def test_origins_that_are_weak_or_local(settings: Settings, session: Session) -> None:
    add_shop(session, "https://jane.example", "http://jane.example", "http://localhost:8000")
    assert codes(deps_of(settings), "sites") == [
        ("warning", "origin_http"),
        ("warning", "origin_local"),
    ]


def test_merchants_that_nobody_can_pay(settings: Settings, session: Session) -> None:
    onchain = {"rails": ["onchain"], "node_url": settings.node_url}
    assert codes(deps_of(settings, **onchain), "wallets") == [("ok", "ok")]
    add_shop(session, "https://jane.example")
    assert codes(deps_of(settings, **onchain), "wallets") == [("problem", "no_descriptor")]
    own = deps_of(settings, **onchain, onchain_descriptor=account_key())
    assert codes(own, "wallets") == [("ok", "ok")]
    private = deps_of(settings, **onchain, onchain_descriptor=account_key(private=True))
    [finding] = find(private, "wallets")
    assert finding.code == "private_key_refused"
    assert account_key(private=True)[:12] not in finding.found


@pytest.mark.parametrize("whose", ["operator", "merchant"])
def test_wallets_of_another_network(settings: Settings, session: Session, whose: str) -> None:
    theirs = account_key() if whose == "merchant" else None
    ours = account_key() if whose == "operator" else None
    add_shop(session, "https://jane.example", descriptor=theirs)
    changes = {
        "rails": ["onchain"], "node_url": settings.node_url, "onchain_descriptor": ours,
    }  # fmt: skip
    assert codes(deps_of(settings, **changes), "wallets") == [("ok", "ok")]
    [finding] = find(deps_of(settings, **changes, network="mainnet"), "wallets")
    assert (finding.level, finding.code) == ("problem", "descriptor_invalid")
    assert ("onchain_descriptor" if whose == "operator" else "J (me_1)") in finding.found
    assert "mainnet" in finding.mend


@pytest.mark.parametrize(
    ("price", "fee_msat_per_vb", "expected"),
    [
        (("SAT", 1000), 0, "ok"),
        (("SAT", 999), 0, "below_floor"),
        (("SAT", 1000), 50_000, "below_floor"),
        (("EUR", 5), 0, "ok"),
        (("USD", 5), 0, "below_floor"),
    ],
)
def test_prices_that_nobody_can_pay(
    settings: Settings,
    session: Session,
    price: tuple[str, int],
    fee_msat_per_vb: int,
    expected: str,
) -> None:
    add_shop(session, "https://jane.example", price=price)
    rates = {"EUR": "900", "USD": "100000"}
    session.add_all(
        StoredRate(currency=currency, price_per_btc=rate, as_of=NOW, sources="a")
        for currency, rate in rates.items()
    )
    session.add(
        RailStatus(
            rail="fake", ok=True, code="ok", detail="", tip_height=0,
            fee_rate_msat_per_vb=fee_msat_per_vb, checked_at=NOW, ok_at=NOW,
        )
    )  # fmt: skip
    session.commit()
    [finding] = find(deps_of(settings), "prices")
    assert finding.code == expected
    assert ("T (it_1)" in finding.found) == (expected == "below_floor")


def test_prices_without_a_rate_are_left_to_the_rates(settings: Settings, session: Session) -> None:
    assert find(deps_of(settings), "prices") == []
    add_shop(session, "https://jane.example")
    assert codes(deps_of(settings), "prices") == [("ok", "ok")]


def test_jobs_that_never_ran_or_fell_silent(settings: Settings, session: Session) -> None:
    deps = deps_of(settings, rail_stale_after_s=600)
    assert codes(deps, "jobs") == [("problem", "never_checked")]
    status = RailStatus(
        rail="fake", ok=True, code="ok", detail="", tip_height=0, fee_rate_msat_per_vb=0,
        checked_at=NOW - 601, ok_at=0,
    )  # fmt: skip
    session.add(status)
    session.commit()
    assert codes(deps, "jobs") == [("problem", "jobs_silent")]
    status.checked_at = NOW - 600
    session.commit()
    assert codes(deps, "jobs") == [("ok", "ok")]


class Ticker(ThreadingHTTPServer):
    """Answers like a ticker, with a clock of its own."""

    def __init__(self, body: str) -> None:
        super().__init__(("127.0.0.1", 0), _TickerHandler)
        self.body = body
        self.now = NOW

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _TickerHandler(BaseHTTPRequestHandler):
    server: Ticker

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.body.encode())

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(self.server.now, usegmt=True)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def tickers() -> Iterator[list[Ticker]]:
    bodies = [
        json.dumps({"data": {"amount": "1000.5"}}),
        json.dumps({"result": {"XXBTZUSD": {"c": ["1002.5", "1"]}}}),
    ]
    made = [Ticker(body) for body in bodies]
    threads = [threading.Thread(target=one.serve_forever, args=(0.01,)) for one in made]
    for thread in threads:
        thread.start()
    yield made
    for one in made:
        one.shutdown()
        one.server_close()
    for thread in threads:
        thread.join()


@pytest.fixture
def with_tickers(settings: Settings, tickers: list[Ticker]) -> Deps:
    coinbase, kraken = tickers
    changed = settings.model_copy(
        update={
            "fixed_rates": {},
            "rate_sources": ["coinbase", "kraken", "bitstamp"],
            "rate_base_urls": {
                "coinbase": coinbase.url,
                "kraken": kraken.url,
                "bitstamp": "http://127.0.0.1:1",
            },
        }
    )
    return wiring.build(changed, clock=lambda: NOW)


def test_each_source_and_the_median(with_tickers: Deps) -> None:
    found = {f.name: f for f in diagnose(with_tickers)}
    assert "1 BTC = 1000.5 USD" in found["rate source coinbase"].found
    assert "1 BTC = 1002.5 USD" in found["rate source kraken"].found
    silent = found["rate source bitstamp"]
    assert (silent.level, silent.code) == ("warning", "rate_source_silent")
    assert found["rates"].found == "1 BTC = 1001.5 USD, the median of 2."
    assert found["clock"].level == "ok"
    assert found["stored rate"].code == "never_fetched"


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (None, ("warning", "rate_unavailable")),
        (("EUR", 5), ("problem", "rate_unavailable")),
        (("SAT", 5000), ("ok", "ok")),
    ],
)
def test_no_source_answers(
    with_tickers: Deps,
    tickers: list[Ticker],
    session: Session,
    price: tuple[str, int] | None,
    expected: tuple[str, str],
) -> None:
    if price is not None:
        add_shop(session, "https://jane.example", price=price)
    for one in tickers:
        one.body = "<html>maintenance</html>"
    assert codes(with_tickers, "rates") == [expected]
    # The clock is looked at all the same.
    assert codes(with_tickers, "clock") == [("ok", "ok")]


def test_a_shop_for_sats_hears_nothing_of_other_currencies(
    with_tickers: Deps, session: Session
) -> None:
    add_shop(session, "https://jane.example", price=("SAT", 5000))
    found = list(diagnose(with_tickers))
    assert [f for f in found if "USD" in f.found] == []
    assert [f.name for f in found if "rate" in f.name] == ["rates"]


@pytest.mark.parametrize(
    ("server_ahead_s", "expected"),
    [
        (300, "clock is 300 s behind the rate"),
        (-300, "clock is 300 s ahead of the rate"),
        (61, "clock is 61 s behind the rate"),
        (60, "Within 60 s of 2 servers."),
    ],
)
def test_a_clock_that_is_wrong(
    with_tickers: Deps, tickers: list[Ticker], server_ahead_s: int, expected: str
) -> None:
    for one in tickers:
        one.now = NOW + server_ahead_s
    [finding] = find(with_tickers, "clock")
    assert expected in finding.found
    assert finding.code == ("ok" if server_ahead_s == 60 else "clock_wrong")


def test_stored_rates_that_are_too_old(settings: Settings, session: Session) -> None:
    session.add(StoredRate(currency="USD", price_per_btc="9", as_of=NOW - 101, sources="a,b"))
    session.commit()
    old = deps_of(settings, rate_max_age_s=100)
    assert codes(old, "stored rate") == [("warning", "rates_old")]
    add_shop(session, "https://jane.example", price=("USD", 5))
    assert codes(deps_of(settings, rate_max_age_s=100), "stored rate") == [("problem", "rates_old")]
    assert codes(deps_of(settings, rate_max_age_s=101), "stored rate") == [("ok", "ok")]


def test_the_command_says_all_of_it_and_exits_with_one(tmp_path: Path) -> None:
    cli = Cli(write_config(tmp_path))
    report = cli.ask("doctor", exit_code=1)
    assert report["ok"] is False
    by_name = {finding["name"]: finding for finding in report["findings"]}
    assert by_name["database"]["code"] == "not_migrated"
    assert by_name["database"]["ok"] is False
    assert by_name["node"]["code"] == "node_unreachable"
    plain = cli.run("doctor")
    assert plain.exit_code == 1
    assert "-> Run `bitcache db upgrade`." in plain.stdout
    assert "\x1b" not in plain.output
    for secret in (SECRET_KEY, "hunter2"):
        assert secret not in plain.output
        assert secret not in json.dumps(report)


def test_the_command_diagnoses_wrong_settings_too(tmp_path: Path) -> None:
    report = Cli(write_config(tmp_path, secret_key="short")).ask("doctor", exit_code=1)
    [finding] = report["findings"]
    assert (finding["name"], finding["code"]) == ("settings", "configuration_error")
    report = Cli(write_config(tmp_path, node_url=None)).ask("doctor", exit_code=1)
    assert "node_url" in report["findings"][0]["found"]
    assert "database" in {finding["name"] for finding in report["findings"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"lightning_secret": "nonsense"},
        {"lightning_backend": "nodeflix"},
        {"lightning_certificate": "nonsense"},
    ],
)
def test_a_wrong_setting_of_lightning_is_one_finding(tmp_path: Path, wrong: dict[str, str]) -> None:
    """That no rail could be built does not mean that `rails` leaves it out."""
    settings = {
        "rails": ["lightning"],
        "lightning_backend": "lnd",
        "lightning_url": "https://127.0.0.1:1",
        "lightning_secret": "aa",
    }
    cli = Cli(write_config(tmp_path, **(settings | wrong)))
    cli.ask("db", "upgrade")
    found = cli.ask("doctor", exit_code=1)["findings"]
    assert [f["name"] for f in found if f["code"] == "configuration_error"] == ["settings"]
    assert "lightning" not in {f["name"] for f in found}


def test_numbers_and_nouns_agree(settings: Settings, session: Session) -> None:
    add_shop(session, "https://jane.example")
    [found] = find(deps_of(settings), "sites")
    assert found.found == "1 with 1 origin."


def test_a_settings_file_that_exists_keeps_its_key(tmp_path: Path) -> None:
    wrong = Cli(write_config(tmp_path, port=0)).ask("doctor", exit_code=1)["findings"][0]
    assert "keep secret_key" in wrong["mend"]
    assert "init" not in wrong["mend"]
    gone = Cli(tmp_path / "gone.toml").ask("doctor", exit_code=1)["findings"][0]
    assert "bitcache init" in gone["mend"]


def test_a_key_in_the_environment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain = Cli(None).run("doctor", BITCACHE_SECRET_KEY=SECRET_KEY, BITCACHE_PORT="0")
    assert "keep secret_key" in plain.stdout
    assert "bitcache init" not in plain.stdout


def test_the_command_in_the_wrong_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [finding] = Cli(None).ask("doctor", exit_code=1)["findings"]
    assert f"There is no bitcache.toml in {tmp_path}." in finding["found"]
    assert "bitcache init" in finding["mend"]


def test_the_command_exits_with_zero_when_all_is_well(tmp_path: Path) -> None:
    cli = Cli(write_config(tmp_path, rails=["fake"]))
    cli.ask("db", "upgrade")
    cli.ask("jobs", "--once", exit_code=0)
    report = cli.ask("doctor")
    assert report["ok"] is True


def test_the_help_names_everything_that_is_looked_at() -> None:
    words = Cli(None).run("doctor", "--help").stdout
    for part in ("database", "Bitcoin node", "Lightning", "exchange rates"):
        assert part in words
