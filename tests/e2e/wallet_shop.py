"""Every page of the wallet in a real browser, for the tests and to look at.

    python -m tests.e2e.wallet_shop --out DIR

takes a picture of each: phones of 320 and 390 px and a desktop, light and dark. Money
moves on the scripted rail, so no node is needed.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page

from bitcache_server.http.wallet import cookie
from bitcache_server.http.wallet.withdraw_order import WithdrawOrder, seal_order
from bitcache_server.models.catalog import Item
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import RecoveryCode
from bitcache_server.services.allowances import Limits, create_allowance
from bitcache_server.services.unlock_item import UnlockOrder, unlock_item
from bitcache_server.services.withdraw import quote_withdrawal, request_withdrawal
from tests.e2e.wall import chromium
from tests.e2e.wallet_server import served_world
from tests.support.databases import Databases
from tests.support.readers import Reader, offer_refunds, target_of
from tests.support.shops import sell_at
from tests.support.world import ORIGIN, World

SCREENS = {
    "phone320-light": (320, 690, "light"),
    "phone390-dark": (390, 844, "dark"),
    "phone390-light": (390, 844, "light"),
    "desktop-light": (1100, 860, "light"),
    "desktop-dark": (1100, 860, "dark"),
}
ADDRESS = "fake:" + "5e" * 20
LONG_TITLE = "The collected letters of a lighthouse keeper, with notes on weather, birds and ships"


@dataclass
class Shown:
    """A page to look at: its path and who looks."""

    path: str
    reader: Reader | None
    posted: dict[str, str] = field(default_factory=dict)
    """What is sent there as a form, where the page is an answer to one."""


@contextmanager
def wallet_shop(database_url: str, folder: Path) -> Iterator[tuple[World, dict[str, Shown]]]:
    """Give a running server and its pages by name."""
    settings = {
        "gift_sat": 2_000,
        "gift_budget_sat_per_day": 100_000,
        "gift_work": 1_000,
        "rail_stale_after_s": 10**8,
        "rate_max_age_s": 10**8,
    }
    with served_world(database_url, folder, **settings) as world:
        yield world, _stock(world)


def signed_in(
    browser: Browser, world: World, reader: Reader | None, **options: object
) -> BrowserContext:
    """Return a browser context that holds the reader's wallet."""
    context: BrowserContext = browser.new_context(**options)  # type: ignore[arg-type]  # any of its options
    if reader is not None:
        url = world.deps.settings.public_url
        named = {"name": cookie.NAME, "value": reader.cookie, "url": url}
        context.add_cookies([named])  # type: ignore[list-item]  # Playwright's own type
    return context


def _stock(world: World) -> dict[str, Shown]:
    offer_refunds(world)
    rich, new, poor, guarded = (Reader(world) for _ in range(4))
    dear = _purchases(world, rich)
    _withdrawals(world, rich)
    _guard(world, guarded)
    poor.fill(1_200)
    invoices = _top_ups(world, new)
    receipt = f"/wallet/purchases/{world.article_id}/1/receipt"
    return {
        "welcome": Shown("/wallet", None),
        "home": Shown("/wallet?done=claimed", rich),
        "home-new": Shown("/wallet", new),
        "purchases": Shown("/wallet/purchases", rich),
        "purchases-none": Shown("/wallet/purchases", poor),
        "purchases-refused": Shown("/wallet/purchases/it_x/refund", rich, {"x": "1"}),
        "receipt": Shown(receipt, rich),
        "sites": Shown("/wallet/sites", rich),
        "sites-none": Shown("/wallet/sites", poor),
        "top-up": Shown("/wallet/top-up", rich),
        "top-up-stranger": Shown("/wallet/top-up", None),
        "top-up-wrong": Shown("/wallet/top-up", rich, {"amount": "20,5"}),
        **{f"top-up-{name}": Shown(path, new) for name, path in invoices.items()},
        "claim": Shown("/wallet/claim", rich),
        "claim-wrong": Shown("/wallet/claim", rich, {"code": "in_half.a-code"}),
        "withdraw": Shown("/wallet/withdraw?done=asked", rich),
        "withdraw-too-little": Shown("/wallet/withdraw", poor),
        "withdraw-wrong": Shown(
            "/wallet/withdraw/review", rich, {"address": "nonsense", "amount": "10000"}
        ),
        "withdraw-review": Shown(review(world, rich), rich),
        "withdraw-confirm": Shown(review(world, guarded), guarded),
        "account": Shown("/wallet/account", rich),
        "account-rest": Shown("/wallet/account", poor),
        "security": Shown("/wallet/security", rich),
        "error": Shown("/wallet/nothing-here", rich),
        "checkout-balance": Shown(f"/pay/{dear}", rich),
        "checkout-too-little": Shown(f"/pay/{dear}", poor),
        "checkout-gift": Shown(f"/pay/{sell_at(world, 1_500)}", None),
        "checkout-owned": Shown(f"/pay/{world.article_id}", rich),
        "checkout-read": Shown(f"/pay/{world.article_id}/read", rich),
        "checkout-file": Shown(f"/pay/{world.file_id}/read", rich),
    }


def review(world: World, reader: Reader) -> str:
    """Return where the form of a withdrawal leads."""
    order = seal_order(world.deps, reader.wallet_id, WithdrawOrder(ADDRESS, "10000"))
    return f"/wallet/withdraw/review?order={order}"


def _top_ups(world: World, reader: Reader) -> dict[str, str]:
    ids = {name: reader.top_up(20_000) for name in ("part", "seen", "paid")}
    world.rail.pay(target_of(world, ids["part"]), 7_000_000)
    world.rail.pay(target_of(world, ids["paid"]), 20_000_000)
    world.mine()
    world.rail.pay(target_of(world, ids["seen"]), 20_000_000)
    world.watch()
    # No more than three may wait for money at once.
    ids["waiting"] = reader.top_up(20_000)
    return {name: f"/wallet/top-up/{invoice_id}" for name, invoice_id in ids.items()}


def _purchases(world: World, reader: Reader) -> str:
    reader.give(2_000_000)
    reader.fill(150_000)
    dear = sell_at(world, 4_200)
    with write_transaction(world.session):
        world.session.get_one(Item, world.article_id).url = f"{ORIGIN}/engines"
        world.session.get_one(Item, dear).title = LONG_TITLE
    hourly, gone = sell_at(world, 900), sell_at(world, 50)
    with write_transaction(world.session):
        for item_id, hours, title in ((hourly, 24, "A day's pass"), (gone, 1, "The hour")):
            item = world.session.get_one(Item, item_id)
            item.access_hours, item.title = hours, title
    for item_id in (gone, world.article_id, hourly, world.file_id):
        unlock_item(world.deps, world.session, UnlockOrder(reader.wallet_id, item_id, None))
        world.clock.pass_time(130)
    with write_transaction(world.session):
        limits = Limits(20_000_000, 200_000_000, 1_000_000, 90)
        create_allowance(world.deps, world.session, reader.wallet_id, world.site_id, ORIGIN, limits)
    return dear


def _withdrawals(world: World, reader: Reader) -> None:
    quote = quote_withdrawal(world.deps, world.session, reader.wallet_id, ADDRESS, 30_000)
    request_withdrawal(
        world.deps,
        world.session,
        reader.wallet_id,
        address=quote.address,
        amount_sat=quote.amount_sat,
        fee_msat=quote.fee_msat,
        idempotency_key="first",
    )


def _guard(world: World, reader: Reader) -> None:
    """Give a wallet with money a recovery code that was not shown lately."""
    reader.fill(40_000)
    with write_transaction(world.session):
        world.session.add(
            RecoveryCode(owner_id=reader.wallet_id, code_hash="0" * 64, created_at=world.clock())
        )
    world.clock.pass_time(301)


def open_shown(context: BrowserContext, world: World, shown: Shown) -> Page:
    """Open a page, or send its form from one of ours, and return it."""
    url = world.deps.settings.public_url
    page = context.new_page()
    if not shown.posted:
        page.goto(url + shown.path)
        return page
    page.goto(f"{url}/wallet")
    script = """([action, fields]) => {
      const form = Object.assign(document.createElement('form'), { method: 'post', action });
      for (const [name, value] of Object.entries(fields)) {
        form.append(Object.assign(document.createElement('input'), { name, value }));
      }
      document.body.append(form);
      form.submit();
    }"""
    with page.expect_navigation():
        page.evaluate(script, [shown.path, shown.posted])
    return page


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        databases = Databases(Path(folder))
        with (
            databases.fresh("sqlite") as database_url,
            wallet_shop(database_url, Path(folder)) as (world, pages),
        ):
            for screen, (width, height, scheme) in SCREENS.items():
                viewport = {"width": width, "height": height}
                for name, shown in pages.items():
                    if options.only not in name:
                        continue
                    context = signed_in(
                        browser, world, shown.reader, viewport=viewport, color_scheme=scheme
                    )
                    page = open_shown(context, world, shown)
                    page.screenshot(path=options.out / f"{name}-{screen}.png", full_page=True)
                    context.close()


if __name__ == "__main__":
    main()
