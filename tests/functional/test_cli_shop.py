"""Merchants, sites and items from the command line; what writes, on both engines."""

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.models.access import SiteSecret
from bitcache_server.models.operations import RailStatus
from bitcache_server.services.merchants import authenticate_site
from tests.support.cli import Cli, account_key, write_config
from tests.support.databases import ENGINES, Databases, open_engine

ODD_NAMES = [
    'O\'Brien & "Söhne" <b>',
    "読者の新聞",
    "جريدة القراء",
    "; DROP TABLE merchants; --",
    "%s {0} \\n $HOME",
    "🙂" * 200,
]


on_both_engines = pytest.mark.parametrize("engine_name", ENGINES)


@pytest.fixture
def engine_name() -> str:
    """Return the engine of a test that does not ask for both."""
    return "sqlite"


@pytest.fixture
def url(engine_name: str, databases: Databases) -> Iterator[str]:
    with databases.fresh(engine_name) as fresh:
        yield fresh


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    engine = open_engine(url)
    with Session(engine) as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def cli(tmp_path: Path, url: str) -> Cli:
    (tmp_path / "data" / "files").mkdir(parents=True)
    (tmp_path / "data" / "files" / "map.pdf").write_bytes(b"%PDF")
    return Cli(write_config(tmp_path, database_url=url))


@pytest.fixture
def site(cli: Cli) -> dict[str, Any]:
    merchant = cli.ask("merchant", "add", "--name", "Jane")
    added: dict[str, Any] = cli.ask(
        "site", "add", "--merchant", merchant["id"], "--name", "Blog",
        "--origin", "https://jane.example", "--origin", "https://WWW.jane.example:443/",
    )  # fmt: skip
    return added


def add_item(cli: Cli, site: dict[str, Any], *more: str, stdin: str = "<p>x</p>") -> Any:
    words = ["item", "add", "--site", site["id"], *more]
    for name, value in (("--title", "Story"), ("--price", "0.05")):
        if name not in more:
            words += [name, value]
    if "--file" not in more:
        words += ["--article", "-"]
    return cli.ask(*words, stdin=stdin)


@on_both_engines
@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_every_kind_come_back_as_they_were(cli: Cli, name: str) -> None:
    added = cli.ask("merchant", "add", "--name", name)
    assert added["name"] == name
    [listed] = cli.ask("merchant", "list")["merchants"]
    assert listed == {**added, "sites": 0}
    assert cli.ask("merchant", "show", added["id"])["name"] == name
    assert cli.run("merchant", "list").exit_code == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("a\x00b", "null byte"),
        ("a\nb", "control character"),
        ("\x1b[31mred", "control character"),
        ("\ud800", "surrogate"),
        ("x" * 201, "longer than 200"),
    ],
)
def test_names_that_cannot_be_kept_are_refused(cli: Cli, name: str, reason: str) -> None:
    code, detail = cli.refuse("merchant", "add", "--name", name)
    assert code == "invalid_request"
    assert reason in detail
    assert cli.ask("merchant", "list") == {"merchants": []}


def test_a_merchant_with_a_wallet_is_paid_directly(cli: Cli) -> None:
    added = cli.ask("merchant", "add", "--name", "J", "--descriptor", f"wpkh({account_key()}/0/*)")
    assert added["settlement"] == "direct"
    assert added["balance_msat"] == 0
    assert re.fullmatch(r"wpkh\(tpub\w+/0/\*\)#\w{8}", added["descriptor"])
    shown = cli.run("merchant", "show", added["id"]).stdout
    assert "commission owed to you  0 sats" in shown
    assert "you owe them" not in shown


def test_private_keys_are_refused_and_not_repeated(cli: Cli) -> None:
    key = account_key(private=True)
    code, detail = cli.refuse("merchant", "add", "--name", "J", "--descriptor", key)
    assert code == "private_key_refused"
    assert key[:12] not in detail
    assert cli.ask("merchant", "list") == {"merchants": []}


@on_both_engines
def test_a_sites_secret_is_shown_once_and_works(
    cli: Cli, site: dict[str, Any], session: Session
) -> None:
    assert site["origins"] == ["https://jane.example", "https://www.jane.example"]
    assert authenticate_site(session, site["secret"], 0).id == site["id"]
    for words in (["site", "list"], ["site", "origins", site["id"]], ["merchant", "list"]):
        assert site["secret"] not in cli.run(*words).output
        assert site["secret"] not in cli.run(*words, "--json").output


@on_both_engines
def test_rotating_makes_the_old_secret_worthless(
    cli: Cli, site: dict[str, Any], session: Session
) -> None:
    rotated = cli.ask("site", "rotate-secret", site["id"])
    assert rotated["secret"] != site["secret"]
    assert authenticate_site(session, rotated["secret"], 0).id == site["id"]
    session.rollback()
    with pytest.raises(Exception, match="belongs to no site"):
        authenticate_site(session, site["secret"], 0)


@on_both_engines
def test_an_old_secret_may_work_a_while_longer(
    cli: Cli, site: dict[str, Any], session: Session
) -> None:
    rotated = cli.ask("site", "rotate-secret", site["id"], "--overlap", "24h")
    until = rotated["old_until"]
    for secret in (site["secret"], rotated["secret"]):
        assert authenticate_site(session, secret, until - 1).id == site["id"]
    with pytest.raises(Exception, match="belongs to no site"):
        authenticate_site(session, site["secret"], until)
    session.rollback()
    code, _ = cli.refuse("site", "rotate-secret", site["id"], "--overlap", "31d")
    assert code == "invalid_request"


def test_the_end_of_an_old_secret_is_told_as_it_is_kept(
    cli: Cli, site: dict[str, Any], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(int(time.time()))
    clock = SimpleNamespace(time=lambda: next(ticks))
    monkeypatch.setattr("bitcache_server.domain.clock.time", clock)
    rotated = cli.ask("site", "rotate-secret", site["id"], "--overlap", "24h")
    assert rotated["old_until"] == session.scalar(select(SiteSecret.valid_until))


@on_both_engines
def test_origins_are_added_and_removed_together(cli: Cli, site: dict[str, Any]) -> None:
    changed = cli.ask(
        "site", "origins", site["id"],
        "--add", "http://localhost:8000/", "--remove", "https://jane.example",
    )  # fmt: skip
    assert changed["origins"] == ["http://localhost:8000", "https://www.jane.example"]
    assert cli.ask("site", "origins", site["id"]) == changed
    [listed] = cli.ask("site", "list", "--merchant", site["merchant"])["sites"]
    assert listed["origins"] == changed["origins"]


def test_a_site_keeps_at_least_one_origin(cli: Cli, site: dict[str, Any]) -> None:
    words = [word for origin in site["origins"] for word in ("--remove", origin)]
    code, detail = cli.refuse("site", "origins", site["id"], *words)
    assert code == "invalid_request"
    assert "at least one" in detail
    assert cli.ask("site", "origins", site["id"])["origins"] == site["origins"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--remove", "https://other.example"], "invalid_request"),
        (["--add", "jane.example"], "invalid_origin"),
        (["--add", "https://jane.example/blog"], "invalid_origin"),
    ],
)
def test_wrong_changes_of_origins_change_nothing(
    cli: Cli, site: dict[str, Any], words: list[str], code: str
) -> None:
    found, _ = cli.refuse("site", "origins", site["id"], "--add", "https://new.example", *words)
    assert found == code
    assert cli.ask("site", "origins", site["id"])["origins"] == site["origins"]


def test_an_item_prints_the_tag_to_paste(cli: Cli, site: dict[str, Any]) -> None:
    title = "<script>alert(\"1\")</script> & 'more'"
    item = add_item(cli, site, "--title", title, "--teaser", "<i>not markup</i>")
    assert item["price"]["fiat"] == {"currency": "USD", "amount_minor": 5, "exponent": 2}
    assert item["title"] == title
    base = "http://127.0.0.1:8402"
    assert item["script_tag"] == (
        f'<script type="module" src="{base}/widget/bitcache.js"></script>'
    )
    assert f'<bitcache-paywall item="{item["id"]}">' in item["tag"]
    assert f'href="{base}/pay/{item["id"]}"' in item["tag"]
    link = item["tag"].splitlines()[2]
    assert link.startswith('  <a slot="no-script" href=')
    assert "Read the rest of" in link
    assert "<script>" not in item["tag"]
    assert "<i>" not in item["tag"]
    by_item = cli.ask("site", "tag", item["id"])
    assert by_item["items"] == [{"item": item["id"], "title": title, "tag": item["tag"]}]
    assert cli.ask("site", "tag", site["id"]) == by_item
    assert item["tag"] in cli.run("site", "tag", site["id"]).stdout


@on_both_engines
def test_the_locked_part_is_kept_and_never_shown(
    cli: Cli, site: dict[str, Any], tmp_path: Path
) -> None:
    article = tmp_path / "story.html"
    article.write_bytes("\ufeff<p>Das Geheimnis: Ωμέγα</p>".encode())
    item = cli.ask(
        "item", "add", "--site", site["id"], "--title", "S", "--price", "0.05",
        "--article", str(article), "--hours", "24", "--external-id", "post-7",
    )  # fmt: skip
    assert item["policy"] == {"type": "hours", "hours": 24}
    for words in (["item", "show", item["id"]], ["item", "list"]):
        for output in (cli.run(*words).output, cli.run(*words, "--json").output):
            assert "Geheimnis" not in output
            assert "post-7" in output


def test_files_are_sold_by_their_path(cli: Cli, site: dict[str, Any]) -> None:
    item = add_item(cli, site, "--file", "map.pdf", "--price", "2000", "--currency", "sat")
    assert item["kind"] == "file"
    assert item["file"] == {"name": "map.pdf", "size_bytes": 4, "content_type": "application/pdf"}
    assert item["price"]["amount_msat"] == 2_000_000
    assert item["tag"].splitlines() == [
        f'<bitcache-paywall item="{item["id"]}">',
        f'  <a slot="no-script" href="{item["checkout_url"]}">Buy the file “Story”</a>',
        "</bitcache-paywall>",
    ]
    assert re.search(r"^price +2,000 sats$", cli.run("item", "show", item["id"]).stdout, re.M)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../bitcache.toml", "file_path_refused"),
        ("/etc/passwd", "file_path_refused"),
        ("absent.pdf", "file_missing"),
        ("a\x00b", "invalid_request"),
    ],
)
def test_paths_outside_the_folder_are_refused(
    cli: Cli, site: dict[str, Any], path: str, code: str
) -> None:
    words = ["item", "add", "--site", site["id"], "--title", "T", "--price", "1", "--file", path]
    assert cli.refuse(*words)[0] == code


@pytest.mark.parametrize(
    ("price", "currency", "code"),
    [
        ("0.055", "USD", "invalid_price"),
        ("-1", "USD", "invalid_price"),
        ("1e3", "USD", "invalid_price"),
        ("0", "SAT", "invalid_price"),
        ("1", "XXX", "unknown_currency"),
    ],
)
def test_wrong_prices_are_refused(
    cli: Cli, site: dict[str, Any], price: str, currency: str, code: str
) -> None:
    item = add_item(cli, site)
    words = ["item", "price", item["id"], "--price", price, "--currency", currency]
    assert cli.refuse(*words)[0] == code
    assert cli.ask("item", "show", item["id"])["price"]["fiat"]["amount_minor"] == 5


@pytest.mark.parametrize(
    ("price", "currency", "says"),
    [
        ("$2", "USD", "with a point and without a currency sign, above 0, such as 2.00"),
        ("2,00", "USD", "with a point"),
        ("-1", "USD", "above 0"),
        ("0.00", "EUR", "above 0"),
        ("2.005", "USD", "USD has 2 decimals"),
        ("02", "USD", "without zeros in front"),
        ("1000000000001", "USD", "too large: an item costs at most 1000000000000 USD"),
        ("9" * 10_000, "USD", "too large"),
        ("1000000001", "SAT", "too large: an item costs at most 1000000000 SAT"),
        ("2.00", "SAT", "without a point, such as 2000"),
        ("0", "SAT", "whole number of sats, above 0"),
    ],
)
def test_a_wrong_price_is_explained_to_a_person(
    cli: Cli, site: dict[str, Any], price: str, currency: str, says: str
) -> None:
    words = ["item", "add", "--site", site["id"], "--title", "T", "--article", "-"]
    code, detail = cli.refuse(*words, "--price", price, "--currency", currency, stdin="<p>x</p>")
    assert code == "invalid_price"
    assert says in detail


def report(session: Session, at: int) -> None:
    """Store what the jobs store when the node is well."""
    status = RailStatus(
        rail="onchain", ok=True, code="ok", detail="", tip_height=1, fee_rate_msat_per_vb=1000,
        checked_at=at, ok_at=at,
    )  # fmt: skip
    session.merge(status)
    session.commit()


def test_an_item_that_no_invoice_can_sell_says_why(cli: Cli, session: Session) -> None:
    words = ["merchant", "add", "--name", "J", "--descriptor", f"wpkh({account_key()}/0/*)"]
    who = cli.ask(*words)["id"]
    words = ["site", "add", "--merchant", who, "--name", "B", "--origin", "https://a.example"]
    site = cli.ask(*words)
    low = "On-chain payments start at 1,000 sats at the present fees; this item costs 500 sats."
    cheap = add_item(cli, site, "--price", "500", "--currency", "SAT")
    dear = add_item(cli, site, "--price", "5000", "--currency", "SAT")
    fiat = add_item(cli, site)
    assert cheap["why_not"] == low
    assert "start `bitcache jobs`" in dear["why_not"]
    assert fiat["why_not"] == "no exchange rate is known yet; start `bitcache jobs`"
    assert f"balance only: {low}" in cli.run("item", "show", cheap["id"]).stdout
    report(session, at=int(time.time()))
    assert cli.ask("item", "show", dear["id"])["why_not"] is None
    assert cli.ask("item", "show", cheap["id"])["why_not"] == low
    report(session, at=0)
    assert "not been in reach" in cli.ask("item", "show", dear["id"])["why_not"]


def test_other_reasons_why_an_item_cannot_be_bought(
    cli: Cli, site: dict[str, Any], tmp_path: Path
) -> None:
    nobody = add_item(cli, site, "--price", "5000", "--currency", "SAT")
    assert "has given a descriptor" in nobody["why_not"]
    file = add_item(cli, site, "--file", "map.pdf", "--price", "5000", "--currency", "SAT")
    (tmp_path / "data" / "files" / "map.pdf").unlink()
    assert "missing" in cli.ask("item", "show", file["id"])["why_not"]


@pytest.mark.parametrize(
    ("origin", "suggestion"),
    [
        ("localhost:9100", "http://localhost:9100"),
        ("http://localhost:9100/blog/", "http://localhost:9100"),
        ("127.0.0.1:8000/x", "http://127.0.0.1:8000"),
        ("Jane.example", "https://jane.example"),
        ("https://jane.example:443/?a=b", "https://jane.example"),
        ("https://jane:secret@jane.example", "https://jane.example"),
        ("*.jane.example", "https://www.example.org"),
        ("https://*.jane.example", "https://www.example.org"),
        ("ftp://jane.example", "https://www.example.org"),
        ("", "https://www.example.org"),
    ],
)
def test_a_wrong_origin_is_corrected(
    cli: Cli, site: dict[str, Any], origin: str, suggestion: str
) -> None:
    code, detail = cli.refuse("site", "origins", site["id"], "--add", origin)
    assert code == "invalid_origin"
    assert detail.endswith(f"is not an origin. Write {suggestion}")


@on_both_engines
def test_a_price_is_changed(cli: Cli, site: dict[str, Any]) -> None:
    item = add_item(cli, site)
    changed = cli.ask("item", "price", item["id"], "--price", "0.10", "--currency", "usd")
    assert changed["price"]["fiat"] == {"currency": "USD", "amount_minor": 10, "exponent": 2}


@on_both_engines
def test_lists_go_on_at_the_cursor(cli: Cli, site: dict[str, Any]) -> None:
    ids = {add_item(cli, site, "--title", str(n))["id"] for n in range(3)}
    first = cli.ask("item", "list", "--site", site["id"], "--limit", "2")
    rest = cli.ask("item", "list", "--limit", "2", "--cursor", first["next_cursor"])
    assert rest["next_cursor"] is None
    assert {item["id"] for item in first["items"] + rest["items"]} == ids
    plain = cli.run("item", "list", "--limit", "2")
    assert first["next_cursor"] in plain.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["merchant", "show", "me_x"], "unknown_merchant"),
        (["site", "add", "--merchant", "me_x", "--name", "n", "--origin", "https://a.example"],
         "unknown_merchant"),
        (["site", "list", "--merchant", "me_x"], "unknown_merchant"),
        (["site", "origins", "st_x"], "unknown_site"),
        (["site", "rotate-secret", "st_\x00"], "unknown_site"),
        (["site", "tag", "it_x"], "unknown_item"),
        (["site", "tag", "st_x"], "unknown_site"),
        (["item", "show", "it_x"], "unknown_item"),
        (["item", "list", "--site", "st_x"], "unknown_site"),
        (["item", "list", "--cursor", "nonsense"], "invalid_request"),
        (["invoice", "list", "--site", "st_x"], "unknown_site"),
        (["invoice", "show", "in_x"], "unknown_invoice"),
        (["item", "add", "--site", "st_x", "--title", "t", "--price", "1", "--article",
          "absent.html"], "system_error"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_in_one_sentence(cli: Cli, words: list[str], code: str) -> None:
    assert cli.refuse(*words)[0] == code


@on_both_engines
def test_an_id_of_broken_bytes_is_refused(cli: Cli) -> None:
    """As a shell hands over a byte that is no UTF-8."""
    for words in (["site", "origins", "st_\udcff"], ["item", "show", "it_\udcff"]):
        assert cli.refuse(*words) == ("invalid_request", "A value is not text in UTF-8.")


def test_an_article_must_be_text(cli: Cli, site: dict[str, Any]) -> None:
    words = ["item", "add", "--site", site["id"], "--title", "t", "--price", "1", "--article", "-"]
    assert cli.refuse(*words, stdin=b"\xff\xfe\x00")[1] == "- is not text in UTF-8."
    assert "empty" in cli.refuse(*words, stdin=" \n")[1]
    assert "longer than" in cli.refuse(*words, stdin="x" * 500_001)[1]
    assert "longer than" in cli.refuse(*words, stdin="x" * 2_000_001)[1]


@pytest.mark.parametrize(
    "words",
    [
        ["item", "add", "--site", "st_x", "--title", "t", "--price", "1"],
        ["item", "add", "--site", "st_x", "--title", "t", "--price", "1", "--file", "a",
         "--article", "b"],
        ["merchant", "add"],
        ["merchant", "sing"],
        ["item", "list", "--limit", "0"],
        ["serve", "--only", "mail"],
    ],
)  # fmt: skip
def test_wrong_calls_exit_with_two(cli: Cli, words: list[str]) -> None:
    plain = cli.run(*words)
    assert (plain.exit_code, plain.stdout) == (2, "")
    assert "Usage: " in plain.stderr
    as_json = cli.run(*words, "--json")
    assert (as_json.exit_code, as_json.stdout) == (2, "")
    assert '"usage_error"' in as_json.stderr


def test_texts_from_outside_cannot_command_the_terminal(cli: Cli, site: dict[str, Any]) -> None:
    # C1 control codes and marks that turn the writing direction are allowed in a title.
    add_item(cli, site, "--title", "a\x9b31mb\u202ec")
    listed = cli.run("item", "list").stdout
    assert "a\\x9b31mb\\u202ec" in listed
