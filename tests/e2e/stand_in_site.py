"""A stand-in for a site that holds its content itself, as a WordPress site does; it is none.

It is what docs/widget.md asks of any site, and nothing more: the public page has the teaser
only, one route hands out the paid part, and grants are checked offline as docs/grants.md has it.
"""

import base64
import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from sqlalchemy import select

from bitcache_server.extensions import db
from bitcache_server.models.catalog import Item, Site, SiteKey
from bitcache_server.models.ledger import Grant
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.watch_rail import watch_rail
from tests.e2e.api_double import SITE_CSS
from tests.e2e.live_shop import LiveShop
from tests.e2e.wall import element
from tests.support.readers import target_of

PAID = "<p>What the site itself keeps: <b>Grace</b> found a moth.</p>"
PAID_WORDS = "found a moth"
PRICE_SAT = 5_000
READER = "reader"
HINT = "bitcache_hint"
CONTENT = "/content?post=7&part=post"


class StandInSite(LiveShop):
    """The server, and on ``127.0.0.1`` the site that holds one paid article."""

    def __init__(self, folder: Path, database_url: str, **settings: Any) -> None:
        super().__init__(folder, database_url, **settings)
        #: Who has what: (hash of the reader's cookie) -> grant.
        self.purchases: dict[str, str] = {}
        #: The bodies that the content route was sent, and all that was answered to a GET.
        self.asked: list[dict[str, Any]] = []
        self.given: list[str] = []
        self.is_down = False
        with self.world.app.app_context(), write_transaction(db.session()):
            site = db.session().get_one(Site, self.world.site_id)
            new = NewItem(
                title="The moth",
                price=PRICE_SAT,
                currency="SAT",
                open_url=f"{self.site.origin}/read",
            )
            self.item_id = add_item(self.world.deps, db.session(), site, new).id
            keys = select(SiteKey.secret).where(SiteKey.site_id == site.id)
            self.secrets = list(db.session().scalars(keys))

    def teaser(self, attributes: str = "") -> str:
        """Return the address of the page that everybody may see and caches may keep."""
        link = f'<a slot="no-script" href="{self.origin}/pay/{self.item_id}">Read the rest</a>'
        inside = f'<p class="teaser">She opened the relay.</p>{link}'
        named = f'server="{self.origin}" content="{CONTENT}" {attributes}'
        return self.page("moth", element(self.item_id, named, inside))

    def pay_newest(self) -> None:
        """Pay the newest invoice on the rail; the jobs see it."""
        world = self.world
        with world.app.app_context():
            newest = select(Invoice).order_by(Invoice.created_at.desc()).limit(1)
            invoice = db.session().scalars(newest).one()
            world.rail.pay(target_of(world, invoice.id), invoice.amount_msat)
            world.rail.confirm(6)
            watch_rail(world.deps, db.session(), world.rail)

    def sold(self) -> int:
        """Return how often the article was sold and not taken back."""
        query = select(Grant).where(Grant.item_id == self.item_id, Grant.revoked_at.is_(None))
        with self.world.app.app_context():
            assert db.session().get_one(Item, self.item_id).content_html is None
            return len(db.session().scalars(query).all())

    def check(self, token: str) -> str:
        """Return why a grant does not open the article, or nothing; asks no server."""
        for secret in self.secrets:
            claims = _claims(secret, token)
            if claims and claims["s"] == self.world.site_id and claims["i"] == self.item_id:
                end = claims["e"]
                over = end is not None and self.world.clock() >= end
                return "grant_expired" if over else ""
        return "grant_invalid"

    def _open(self, grant: str | None) -> tuple[str, str]:
        """Return why the article stays locked, or nothing, and the reader's cookie."""
        reader = request.cookies.get(READER, "")
        kept = self.purchases.get(_hash(reader))
        if grant is None or (self.check(grant) and kept):
            return ("locked" if kept is None else self.check(kept)), reader
        why = self.check(grant)
        if not why:
            reader = reader or secrets.token_urlsafe(32)
            self.purchases[_hash(reader)] = grant
        return why, reader

    def _site_app(self) -> Flask:
        app = Flask(__name__)
        app.add_url_rule("/site.css", view_func=_css)
        app.add_url_rule("/<path:path>", view_func=self._page)
        app.add_url_rule("/content", view_func=self._content, methods=["POST"])
        app.add_url_rule("/read", view_func=self._read, methods=["POST"])
        return app

    def _page(self, path: str) -> Response:
        if path not in self.pages:
            return Response(status=404)
        self.given.append(self.pages[path])
        policy = (
            f"default-src 'none'; script-src {self.origin}; connect-src 'self' {self.origin}; "
            f"img-src {self.origin}; style-src 'self'; base-uri 'none'; form-action 'none'"
        )
        headers = {"Content-Security-Policy": policy}
        return Response(self.pages[path], mimetype="text/html", headers=headers)

    def _content(self) -> Response:
        body = request.get_json()
        self.asked.append(body)
        if self.is_down:
            return Response("<h1>Bad gateway</h1>", 502)
        if body.get("forget"):
            self.purchases.pop(_hash(request.cookies.get(READER, "")), None)
            return _answer({})
        why, reader = self._open(body.get("grant"))
        if why:
            return _answer({"code": why}, 401)
        return _remember(_answer({"html": PAID, "item": self.item_id}), reader)

    def _read(self) -> Response:
        """Answer the checkout's form: the whole article, for a browser without scripts."""
        why, reader = self._open(request.form.get("grant"))
        if why:
            return Response(why, 403, mimetype="text/plain")
        page = f"<!doctype html><title>The moth</title><main>{PAID}</main>"
        return _remember(Response(page, headers={"Cache-Control": "no-store"}), reader)


def _css() -> Response:
    return Response(SITE_CSS, mimetype="text/css")


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(json.dumps(body), status, headers, mimetype="application/json")


def _remember(answer: Response, reader: str) -> Response:
    answer.set_cookie(READER, reader, httponly=True, samesite="Lax", max_age=400 * 86_400)
    answer.set_cookie(HINT, "1", samesite="Lax", max_age=400 * 86_400)
    return answer


def _hash(reader: str) -> str:
    return hashlib.sha256(reader.encode()).hexdigest()


def _claims(secret: str, token: str) -> dict[str, Any] | None:
    """Return what a grant says when this secret signed it; as in docs/grants.md."""
    signed, _, signature = token.rpartition(".")
    key = hmac.digest(secret.encode(), b"bitcache.grant.v1", "sha256")
    raw = hmac.digest(key, signed.encode(), "sha256")
    expected = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    if not hmac.compare_digest(expected, signature):
        return None
    payload = signed.partition(".")[0]
    found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return dict(found)
