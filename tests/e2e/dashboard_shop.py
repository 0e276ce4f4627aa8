"""A merchant's busy month on a running server, and every page that is about it.

Merchant, accounts, operator, orders and the consent page: for the tests, and to look at.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import select

from bitcache_server.http.account.access import NAME
from bitcache_server.models.accounts import Account
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.sales_book import Sale
from bitcache_server.models.session import write_transaction
from bitcache_server.services.account_sessions import authenticate_account, open_account_session
from bitcache_server.services.api_keys import KeyOrder, add_key
from bitcache_server.services.branding import BrandOrder, change_brand
from bitcache_server.services.invitations import invite
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.mail_links import reset_link
from bitcache_server.services.members import Role
from bitcache_server.services.merchant_payouts import request_merchant_payout
from bitcache_server.services.merchants import add_merchant, get_site
from bitcache_server.services.order_links import NewLink, add_link
from bitcache_server.services.passwords import new_password_hash
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.site_keys import secrets_for
from bitcache_server.services.totp import begin_totp
from bitcache_server.services.visits import count_seen, write_counts
from bitcache_server.tokens.orders import sign_link
from bitcache_server.tokens.secrets import new_id
from tests.e2e.wall import PATIENCE_MS
from tests.e2e.wallet_server import served_world
from tests.support.dashboard import Person, sign_in
from tests.support.orders import begin, cancel, make_order
from tests.support.payouts import send, set_terms
from tests.support.processes import free_ports
from tests.support.receivers import receiver
from tests.support.sales_book import write_book
from tests.support.webhooks import deliver, deliveries, listen
from tests.support.world import ORIGIN, World, sha256_challenge

#: Names are known before the server is: tests and pictures are named after them.
NAMES = (
    *("home", "home-accountant", "items", "items-archived", "items-confirm", "item", "item-file"),
    *("item-new", "item-wrong", "sales", "sales-none", "sale", "sale-refund", "orders"),
    *("order-new", "order-open", "order-part", "order-paid", "order-cancelled", "order-links"),
    *("order-link", "order-link-print", "payouts", "payout", "sites", "site", "site-made"),
    *("webhooks", "webhook", "webhook-failing", "webhook-delivery", "webhook-delivery-failed"),
    *("keys", "key-made", "people", "person-invited", "branding", "settings", "log", "error"),
    *("new-home", "new-items", "new-sales", "new-orders", "new-payouts", "new-sites"),
    *("new-webhooks", "new-keys", "stale-sites", "stale-webhooks", "stale-keys", "stale-people"),
    *("stale-payouts", "connect", "connect-stale", "operator", "operator-merchants"),
    *("operator-merchant", "operator-books", "operator-limits"),
    *("account", "account-security", "account-log", "account-close", "account-confirm"),
    *("account-totp", "account-recovery-code", "account-sign-up", "account-sign-in"),
    *("account-sign-in-wrong", "account-recover", "account-reset", "account-email"),
    *("account-lightning", "account-invitation"),
    *("pay-order-open", "pay-order-part", "pay-order-paid", "pay-order-cancelled"),
    *("pay-order-invoice", "pay-item", "pay-link", "pay-link-free", "pay-link-closed"),
    "pay-signed",
)
#: Pages as a new merchant finds them, and those that ask first who it is.
EMPTY = ("items", "sales", "orders", "payouts", "sites", "webhooks", "keys")
GUARDED = ("sites", "webhooks", "keys", "people", "payouts")
DAYS = 30
DAY_S = 86_400
#: Longer than ten minutes ago somebody has shown who they are: the pages ask again.
LATER_S = 700
PASSWORD = "three grey herons"  # made up for these pages
LONG = "The collected letters of a lighthouse keeper, with notes on weather, birds and ships"
GOODS = (
    ("On engines, and on <b>difference</b>", "0.12", "USD"),
    (LONG, "2.40", "USD"),
    ("رسائل من برج المنارة", "3500", "SAT"),
    ("Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen", "900", "SAT"),
    ("A map of currents", "1.99", "USD"),
)
SETTINGS = {
    "sign_up": "open",
    "smtp_url": "smtp://localhost:1",
    "mail_from": "Bitcache <pay@pay.example>",
    "webhook_allow_local": True,
    "webhook_timeout_s": 2,
    "rail_stale_after_s": 10**8,
    "rate_max_age_s": 10**8,
    "limit_sign_ins_per_address": "9999/minute",
    "limit_sign_ups_per_address": "9999/minute",
    "limit_recoveries_per_address": "9999/minute",
}
Act = Callable[[Page], None]


@dataclass(frozen=True)
class Screen:
    """A page to look at: its path, who looks, and what they do there first."""

    path: str
    who: str = "owner"
    act: Act | None = None


@dataclass
class DashboardShop:
    """The server, its pages by name, and the cookies of those who look."""

    world: World
    screens: dict[str, Screen]
    cookies: dict[str, str]

    @property
    def url(self) -> str:
        """Return where it answers."""
        return self.world.deps.settings.public_url

    def context(self, browser: Browser, who: str, **options: object) -> BrowserContext:
        """Return a browser of somebody; of nobody for an empty name."""
        made: BrowserContext = browser.new_context(**options)  # type: ignore[arg-type]  # its own
        made.set_default_timeout(PATIENCE_MS)
        if who:
            cookie = {"name": NAME, "value": self.cookies[who], "url": self.url}
            made.add_cookies([cookie])  # type: ignore[list-item]  # Playwright's own type
        return made

    def open(self, page: Page, screen: Screen, lang: str = "") -> None:
        """Open a page in one of the languages, and do there what is to be done first."""
        joint = "&" if "?" in screen.path else "?"
        address, _, part = screen.path.partition("#")
        asked = f"{address}{joint}lang={lang}" if lang else address
        page.goto(f"{self.url}{asked}{'#' + part if part else ''}")
        if screen.act is not None:
            with page.expect_navigation():
                screen.act(page)
        page.wait_for_load_state()


@contextmanager
def dashboard_shop(database_url: str, folder: Path) -> Iterator[DashboardShop]:
    """Give a running server with a merchant who has sold for a month."""
    with served_world(database_url, folder, **SETTINGS) as world, receiver() as hook:
        shop = _Stock(world, hook.url).shop()
        assert set(shop.screens) == set(NAMES)
        yield shop


class _Stock:
    """Puts everything on the shelves."""

    def __init__(self, world: World, hook_url: str) -> None:
        self.world, self.hook_url = world, hook_url
        self.goods: list[str] = []

    def shop(self) -> DashboardShop:
        world = self.world
        self._people()
        self._catalogue()
        self._listeners()
        self._month()
        self._invite()
        self._orders()
        self._links()
        self._payouts()
        write_book(world)
        deliver(world)
        cookies = self._cookies()
        pages = {**self._merchant_pages(), **self._account_pages(), **self._checkout_pages()}
        world.session.rollback()
        return DashboardShop(world, pages, cookies)

    # -- what there is ----------------------------------------------------------------------

    def _people(self) -> None:
        world = self.world
        self.owner = sign_in(world)
        self.operator = sign_in(world, operator=True)
        self.editor = sign_in(world, Role.EDITOR)
        self.accountant = sign_in(world, Role.ACCOUNTANT)
        secret = new_password_hash(PASSWORD)
        names = {
            self.owner.account_id: ("ada@lighthouse-letters.example", "Ada Lovelace"),
            self.operator.account_id: ("root", "Operator"),
            self.editor.account_id: ("layla", "ليلى العامرية"),
            self.accountant.account_id: (
                "a.very.long.name@accounting.example",
                "Zoë <i>O'Hara</i>",
            ),
        }
        with write_transaction(world.session):
            for account_id, (login, name) in names.items():
                account = world.session.get_one(Account, account_id)
                account.login, account.name = login, name
            world.session.get_one(Account, self.owner.account_id).password_hash = secret
            merchant = world.session.get_one(Merchant, world.merchant_id)
            merchant.refund_window_s, merchant.refunds_per_reader = 30 * DAY_S, 5
            newcomer = add_merchant(world.deps, world.session, "Lighthouse letters", None).id
            brand = BrandOrder(
                "Lighthouse letters",
                "#0a5c8a",
                "#7cc4f0",
                "help@lighthouse-letters.example",
                "Lighthouse letters\n29242 Ouessant, France",
            )
            change_brand(world.deps, world.session, world.merchant_id, self.owner.account_id, brand)
        self.new = sign_in(world, merchant_id=newcomer)

    def _cookie(self, who: Person) -> str:
        world = self.world
        with write_transaction(world.session):
            return open_account_session(
                world.deps, world.session, who.account_id, "Firefox on Android"
            )

    def _cookies(self) -> dict[str, str]:
        """Return who has shown a while ago who they are, and who have just now."""
        people = {
            "owner": self.owner,
            "operator": self.operator,
            "accountant": self.accountant,
            "new": self.new,
        }
        stale = self._cookie(self.owner)
        known = authenticate_account(self.world.deps, self.world.session, stale)
        assert known is not None
        with write_transaction(self.world.session):
            begin_totp(self.world.deps, self.world.session, known)
        self.world.clock.pass_time(LATER_S)
        return {"stale": stale, **{who: self._cookie(one) for who, one in people.items()}}

    def _catalogue(self) -> None:
        world = self.world
        with write_transaction(world.session):
            site = get_site(world.session, world.site_id)
            for number, (title, price, currency) in enumerate(GOODS):
                new = NewItem(
                    title=title,
                    price=price if currency != "SAT" else int(price),
                    currency=currency,
                    content_html=f"<p>{title}</p><p>And so on.</p>",
                    teaser="What a falling reservoir says about a valley.",
                    external_id=f"wp-{number}" if number % 2 else None,
                    access_hours=48 if number == 3 else None,
                )
                self.goods.append(add_item(world.deps, world.session, site, new).id)
            gone = NewItem(title="Yesterday's paper", price=10, currency="SAT", content_html="<p>")
            archived = add_item(world.deps, world.session, site, gone)
            archived.archived_at = world.deps.clock()
            for name, scopes in (
                ("Bookkeeping", ["sales:read", "balance:read", "payouts:read"]),
                ("Importer", ["items:read", "items:write"]),
            ):
                order = KeyOrder(world.site_id, name, scopes, 90)
                made = add_key(
                    world.deps, world.session, world.merchant_id, self.owner.account_id, order
                )
            made.key.revoked_at = world.deps.clock()
        self.goods.append(world.article_id)

    def _listeners(self) -> None:
        [closed] = free_ports(1)
        everything = listen(self.world, self.hook_url)
        failing = listen(self.world, f"http://127.0.0.1:{closed}/a/rather/long/path/of/webhooks")
        listen(self.world, f"{self.hook_url}/orders", "order.created", "order.paid", "item.changed")
        self.endpoints = {"works": everything.endpoint.id, "fails": failing.endpoint.id}

    def _month(self) -> None:
        world = self.world
        for day in range(DAYS):
            world.clock.pass_time(DAY_S)
            refresh_rates(world.deps, world.session)
            for number, item_id in enumerate(self.goods):
                for _ in range((day * 7 + number * 5) % 40):
                    count_seen(world.deps, item_id)
            for number in range((day * day + 3) % 4):
                item_id = self.goods[(day + number * 2) % len(self.goods)]
                purchase = world.buy(item_id)
                if (day + number) % 5:
                    world.pay(purchase)
            world.mine()
            write_counts(world.deps, world.session)
        write_book(world)
        query = select(Sale.id).where(Sale.merchant_id == world.merchant_id)
        self.sale_id = world.session.scalars(query.order_by(Sale.created_at.desc())).first()
        world.session.rollback()

    def _invite(self) -> None:
        world = self.world
        with write_transaction(world.session):
            self.invited, _ = (
                invite(
                    world.deps,
                    world.session,
                    merchant_id=world.merchant_id,
                    role=role,
                    made_by=self.owner.account_id,
                    remark="Grace, who draws the maps",
                )
                for role in (Role.ACCOUNTANT, Role.EDITOR)
            )

    def _orders(self) -> None:
        world = self.world
        named = {"open": "R-2027-0041", "part": "R-2027-0042", "paid": "R-2027-0043"}
        self.orders = {
            name: make_order(
                world,
                reference=reference,
                customer_ref="Müller & Töchter",
                metadata={"basket": "7", "gift_wrap": "yes, <b>blue</b>"},
            )
            for name, reference in named.items()
        }
        self.orders["cancelled"] = make_order(world, reference="R-2027-0044")
        cancel(world, self.orders["cancelled"]["id"])
        part = begin(world, self.orders["part"])
        world.pay(part, 500_000_000)
        world.pay(begin(world, self.orders["paid"]))
        world.mine(6)

    def _links(self) -> None:
        world = self.world
        wanted = {
            "fixed": NewLink(title="Mending, by the hour", currency="USD", price="45.50"),
            "free": NewLink(
                title="A gift to the lighthouse", currency="SAT", least="1000", most="500000"
            ),
            "closed": NewLink(title="Last year's calendar", currency="SAT", price="9000"),
        }
        with write_transaction(world.session):
            site = get_site(world.session, world.site_id)
            made = {
                name: add_link(world.deps, world.session, site, new) for name, new in wanted.items()
            }
            made["closed"].closed_at = world.deps.clock()
            self.links = {name: link.id for name, link in made.items()}

    def _payouts(self) -> None:
        world = self.world
        set_terms(world, "fake:" + "5e" * 20, threshold_sat=10_000, every_s=7 * DAY_S)
        world.session.rollback()
        self.payouts = [self._payout("first", 30_000)]
        send(world)
        world.mine()
        send(world)
        self.payouts.append(self._payout("second", 20_000))

    def _payout(self, key: str, amount_sat: int) -> str:
        payout = request_merchant_payout(
            self.world.deps,
            self.world.session,
            self.world.merchant_id,
            amount_sat=amount_sat,
            idempotency_key=key,
        )
        payout_id = payout.id
        self.world.session.rollback()
        return payout_id

    # -- the pages --------------------------------------------------------------------------

    def _merchant_pages(self) -> dict[str, Screen]:
        base, operator = f"/dashboard/{self.world.merchant_id}", "/operator/merchants"
        links, hooks = f"{base}/orders/links", f"{base}/webhooks"
        failed = deliveries(self.world, self.endpoints["fails"])[0].id
        arrived = deliveries(self.world, self.endpoints["works"])[0].id
        plain = {
            "home": "",
            "items": "/items",
            "items-archived": "/items?show=archived",
            "item": f"/items/{self.goods[1]}",
            "item-file": f"/items/{self.world.file_id}",
            "item-new": "/items/new",
            "sales": "/sales",
            "sales-none": "/sales?q=nothing-like-that",
            "sale": f"/sales/{self.sale_id}",
            "sale-refund": f"/sales/{self.sale_id}/refund",
            "orders": "/orders",
            "order-new": "/orders/new",
            **{f"order-{name}": f"/orders/{order['id']}" for name, order in self.orders.items()},
            "payouts": "/payouts",
            "payout": f"/payouts/{self.payouts[0]}",
            "sites": "/sites",
            "site": f"/sites/{self.world.site_id}",
            "webhooks": "/webhooks",
            "keys": "/keys",
            "people": "/people",
            "branding": "/branding",
            "settings": "/settings",
            "log": "/audit",
        }
        found = {name: Screen(base + path) for name, path in plain.items()}
        new = f"/dashboard/{self.new.merchant_id}"
        found |= {
            "order-links": Screen(links),
            "order-link": Screen(f"{links}/{self.links['fixed']}"),
            "order-link-print": Screen(f"{links}/{self.links['free']}/print"),
            "webhook": Screen(f"{hooks}/{self.endpoints['works']}"),
            "webhook-failing": Screen(f"{hooks}/{self.endpoints['fails']}"),
            "webhook-delivery": Screen(f"{hooks}/deliveries/{arrived}"),
            "webhook-delivery-failed": Screen(f"{hooks}/deliveries/{failed}"),
            "home-accountant": Screen(base, "accountant"),
            "new-home": Screen(new, "new"),
            **{f"new-{one}": Screen(f"{new}/{one}", "new") for one in EMPTY},
            **{f"stale-{one}": Screen(f"{base}/{one}", "stale") for one in GUARDED},
            "error": Screen(f"{base}/items/it_nope"),
            "item-wrong": Screen(f"{base}/items/new", act=_wrong_item),
            "items-confirm": Screen(f"{base}/items", act=_bulk),
            "site-made": Screen(f"{base}/sites", act=_add_site),
            "key-made": Screen(f"{base}/keys", act=_make_key),
            "person-invited": Screen(f"{base}/people", act=_press("people/invitations")),
            "connect": Screen(_connect_path()),
            "connect-stale": Screen(_connect_path(), "stale"),
            "operator": Screen("/operator", "operator"),
            "operator-merchants": Screen(operator, "operator"),
            "operator-merchant": Screen(f"{operator}/{self.world.merchant_id}", "operator"),
            "operator-books": Screen("/operator/books", "operator"),
            "operator-limits": Screen("/operator/limits", "operator"),
        }
        return found

    def _account_pages(self) -> dict[str, Screen]:
        world = self.world
        account = world.session.get_one(Account, self.editor.account_id)
        reset = reset_link(world.deps, account).removeprefix(world.deps.settings.public_url)
        invited = self.invited.link.removeprefix(world.deps.settings.public_url)
        world.session.rollback()
        return {
            "account": Screen("/account"),
            "account-security": Screen("/account/security"),
            "account-log": Screen("/account/log"),
            "account-close": Screen("/account/close"),
            "account-confirm": Screen("/account/confirm", "stale"),
            "account-totp": Screen("/account/totp"),
            "account-recovery-code": Screen("/account/security", act=_press("account/recovery")),
            "account-sign-up": Screen("/account/sign-up", ""),
            "account-sign-in": Screen("/account/sign-in", ""),
            "account-sign-in-wrong": Screen("/account/sign-in", "", act=_wrong_password),
            "account-recover": Screen("/account/recover", ""),
            "account-reset": Screen(reset, ""),
            "account-email": Screen("/account/email?code=nothing", ""),
            "account-lightning": Screen("/account/sign-in", "", act=_press("account/lightning")),
            "account-invitation": Screen(invited, ""),
        }

    def _checkout_pages(self) -> dict[str, Screen]:
        pages = {
            f"pay-order-{name}": Screen(f"/pay/orders/{order['id']}", "")
            for name, order in self.orders.items()
        }
        pay = _press(f"pay/orders/{self.orders['open']['id']}")
        return pages | {
            "pay-order-invoice": Screen(f"/pay/orders/{self.orders['open']['id']}", "", act=pay),
            "pay-item": Screen(f"/pay/{self.goods[1]}", ""),
            "pay-link": Screen(f"/l/{self.links['fixed']}", ""),
            "pay-link-free": Screen(f"/l/{self.links['free']}", ""),
            "pay-link-closed": Screen(f"/l/{self.links['closed']}", ""),
            "pay-signed": Screen(self._signed_path(), ""),
        }

    def _signed_path(self) -> str:
        world = self.world
        wanted = {
            "amount": "12.50",
            "currency": "USD",
            "expires": str(world.clock.now + DAY_S),
            "reference": "S-1",
            "site": world.site_id,
            "title": "A basket of letters",
            "cancel_url": f"{ORIGIN}/basket",
        }
        signature = sign_link(secrets_for(world.deps, world.session, world.site_id), wanted)
        return f"/order?{urlencode({**wanted, 'signature': signature})}"


def _connect_path() -> str:
    asked = {
        "response_type": "code",
        "client_name": "WordPress plugin",
        "redirect_uri": f"{ORIGIN}/wp-admin/admin.php?page=bitcache",
        "origin": ORIGIN,
        "state": "st4te",
        "code_challenge": sha256_challenge("v" * 43),
        "code_challenge_method": "S256",
    }
    return f"/connect/authorize?{urlencode(asked)}"


# -- what is done on a page ---------------------------------------------------------------------
# By names of fields, not by words: the pages come in several languages.


def _press(action: str) -> Act:
    """Return what sends the form that goes to an address with this end."""
    return lambda page: page.locator(f"form[action$='{action}'] button[type=submit]").first.click()


def _wrong_item(page: Page) -> None:
    page.locator("[name=title]").fill("A title")
    page.locator("[name=price]").fill("much")
    page.locator("[name=content]").fill("<p>Words</p>")
    page.locator("main form button[type=submit]").click()


def _bulk(page: Page) -> None:
    for box in page.locator("[name=item]").all()[:3]:
        box.check()
    page.locator("[name=deed]").select_option("raise")
    page.locator("[name=percent]").fill("10")
    page.locator("#bulk button").click()


def _add_site(page: Page) -> None:
    page.locator("[name=name]").fill("A second blog")
    page.locator("[name=origin]").fill(f"https://{new_id('x')[2:10].lower().strip('_-')}.example")
    _press("/sites")(page)


def _make_key(page: Page) -> None:
    page.locator("[name=name]").fill("A script")
    page.locator("[name=scope]").first.check()
    _press("/keys")(page)


def _wrong_password(page: Page) -> None:
    page.locator("[name=login]").fill("ada")
    page.locator("[name=password]").fill("not this one")
    _press("account/sign-in")(page)
