"""A scripted twin of the HTTP API, for tests of the widget and of the checkout pages.

Nothing happens by itself: a test says when money is seen, when a code expires
and which call fails. The answers have the shapes of the real API. A site page
is served from another origin, under a strict Content-Security-Policy.
"""

import base64
import hashlib
import json
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, send_from_directory
from werkzeug.serving import WSGIRequestHandler, make_server

from bitcache_server.http import checkout_words, language
from bitcache_server.http.headers import PAGE_POLICY
from bitcache_server.http.qr import qr_svg
from bitcache_server.http.wallet.look import utc_time, utc_words

ROOT = Path(__file__).resolve().parents[2]
WIDGET = ROOT / "widget" / "src"
SERVER = ROOT / "bitcache_server"
ADDRESS = "bcrt1q7h4kfm2z8w0yav3xs9u5n6jdtgpe2rlcw8q4k0"
#: As long as invoices of shops are: a description and one hint how to reach the node.
BOLT11 = "lnbcrt50u1p" + "0qyzxr9p8gf2tvdw0s3jn54khce6mua7l" * 10 + "0qyz9p8gf"
ARTICLE_HTML = """
<h2>Where the water goes</h2>
<p>In the third week of August the reservoir fell below the old church tower, and people came
to look at the weathercock that nobody under sixty had seen before.</p>
<p>What they saw was not a drought. It was an account book, kept in stone.</p>
"""
Json = dict[str, Any]


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Print nothing: a test's output is for its findings."""


class Running:
    """One WSGI app on a free loopback port."""

    def __init__(self, app: Flask, host: str = "localhost") -> None:
        address = "127.0.0.1" if host == "localhost" else host
        self.server = make_server(address, 0, app, threaded=True, request_handler=_QuietHandler)
        self.origin = f"http://{host}:{self.server.server_port}"
        # How often it looks whether to stop; otherwise each test would end with a second of it.
        serve = partial(self.server.serve_forever, poll_interval=0.02)
        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Stop serving; open event streams end with the test process."""
        self.server.shutdown()
        self.server.server_close()


def price(amount_msat: int | None = 5_000_000, fiat: bool = True) -> Json:
    """Return a price of five cents at 1,000 dollars a bitcoin."""
    now = int(time.time())
    return {
        "amount_msat": amount_msat,
        "fiat": {"currency": "USD", "amount_minor": 5, "exponent": 2} if fiat else None,
        "rate": {"price_per_btc": "1000.00", "currency": "USD", "as_of": now - 12, "age_s": 12}
        if fiat and amount_msat
        else None,
    }


class ApiDouble:
    """The state behind the API, and the levers that a test pulls."""

    def __init__(self) -> None:
        self.items: dict[str, Json] = {}
        self.invoices: dict[str, Json] = {}
        self.challenges: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.grants: dict[str, str] = {}
        self.redeemed: set[str] = set()
        self.calls: list[str] = []
        #: "METHOD path-prefix" -> code to answer with; "drop" answers with no JSON at all.
        self.errors: dict[str, tuple[int, str]] = {}
        self.events_work = True
        self.qr_for_missing = True
        self.content_html = ARTICLE_HTML
        self.listeners: list[tuple[str, queue.Queue[str]]] = []
        self.lock = threading.RLock()
        self.pages: dict[str, str] = {}
        #: Pages of the hosted checkout, as a test rendered them.
        self.hosted: dict[str, str] = {}
        self.backend_app = self._backend_app()
        self.backend = Running(self.backend_app)
        self.events = Running(self._events_app())
        self.site = Running(self._site_app())
        self.add_item("it_article00000000000001")

    def stop(self) -> None:
        """Close the three listeners."""
        for running in (self.backend, self.events, self.site):
            running.stop()

    # -- levers ---------------------------------------------------------------

    def add_item(self, item_id: str, **changes: Any) -> Json:
        """Offer an item: an article for five cents, unless told otherwise."""
        item = {
            "id": item_id,
            "kind": "article",
            "title": "The reservoir that kept the village's accounts",
            "teaser": "",
            "external_id": None,
            "site": {"id": "st_site0000000000000001", "name": "The Slow Quarterly"},
            "price": price(),
            "policy": {"type": "forever", "hours": None, "downloads": None},
            "file": None,
            "rails": ["onchain"],
            "balance": None,
            "checkout_url": f"{self.backend.origin}/pay/{item_id}",
        } | changes
        self.items[item_id] = item
        return item

    def add_file(self, item_id: str, **changes: Any) -> Json:
        """Offer a file of 2.4 MB."""
        file = {
            "name": "field-recordings.zip",
            "size_bytes": 2_412_000,
            "content_type": "application/zip",
        }
        return self.add_item(item_id, kind="file", title="Field recordings", file=file, **changes)

    def offer_balance(self, item_id: str) -> None:
        """Let an item be paid from a balance, with a gift for who has none."""
        connect_url = f"{self.backend.origin}/wallet/connect"
        balance = {"connect_url": connect_url, "gift_msat": 2_000_000, "now": int(time.time())}
        self.items[item_id]["balance"] = balance

    def offer_lightning(self, item_id: str = "it_article00000000000001", *rest: str) -> None:
        """Let an item be paid over Lightning, first or alone: ``rest`` names the other rails."""
        self.items[item_id]["rails"] = ["lightning", *rest]

    def change(self, invoice_id: str, **changes: Any) -> None:
        """Set fields of an invoice and tell whoever listens."""
        with self.lock:
            self.invoices[invoice_id].update(changes)
            listeners = [box for name, box in self.listeners if name == invoice_id]
        for box in listeners:
            box.put(invoice_id)

    def receive(self, invoice_id: str, sat: int, confirmations: int = 0, required: int = 0) -> None:
        """Let money be seen for an invoice, as the real server would book it."""
        invoice = self.invoices[invoice_id]
        received = sat * 1000
        missing = max(0, invoice["amount_msat"] - received)
        final = confirmations >= required
        payment = {
            "reference": f"{'ab' * 32}:0",
            "rail": "onchain",
            "amount_msat": received,
            "confirmations": confirmations,
            "confirmations_required": required,
            "state": "confirmed" if confirmations else "seen",
            "note": "",
        }
        changes: Json = {
            "payments": [payment],
            "received_msat": received,
            "missing_msat": missing,
            "marks": ["underpaid"] if missing else [],
            "state": "open" if missing else "paid" if final else "seen",
        }
        if missing and self.qr_for_missing:
            changes |= self._requests(invoice_id, ["onchain"], missing)
        if received > invoice["amount_msat"]:
            changes |= {
                "marks": ["overpaid"],
                "credit_msat": received - invoice["amount_msat"],
            }
        self.change(invoice_id, **changes)

    def settle(self, invoice_id: str) -> None:
        """Let the Lightning node report that the invoice was paid."""
        invoice = self.invoices[invoice_id]
        payment = {
            "reference": "cd" * 32,
            "rail": "lightning",
            "amount_msat": invoice["amount_msat"],
            "confirmations": 0,
            "confirmations_required": 0,
            "state": "confirmed",
            "note": "",
        }
        self.change(
            invoice_id,
            payments=[payment],
            received_msat=invoice["amount_msat"],
            missing_msat=0,
            state="paid",
        )

    def expire(self, invoice_id: str) -> None:
        """End an invoice's time."""
        self.change(invoice_id, state="expired", expires_at=int(time.time()) - 1)

    def only_invoice(self) -> str:
        """Return the id of the one invoice there is."""
        (invoice_id,) = self.invoices
        return invoice_id

    def page(self, path: str, body: str, *, lang: str = "en", direction: str = "ltr") -> str:
        """Put a page on the site; return its address."""
        self.pages[path] = f"""<!doctype html>
<html lang="{lang}" dir="{direction}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The Slow Quarterly</title><link rel="stylesheet" href="/site.css">
<script type="module" src="{self.backend.origin}/widget/bitcache.js"></script>
</head><body><main><h1>The Slow Quarterly</h1>{body}</main></body></html>"""
        return f"{self.site.origin}/{path}"

    def count(self, call: str) -> int:
        """Count the calls that begin so, for example "POST /v1/invoices"."""
        return sum(1 for made in self.calls if made.startswith(call))

    # -- answers --------------------------------------------------------------

    def _requests(self, invoice_id: str, rails: list[str], amount_msat: int) -> Json:
        sat = -(-amount_msat // 1000)
        made: dict[str, Callable[[], Json]] = {
            "lightning": lambda: self._lightning(invoice_id, amount_msat),
            "onchain": lambda: self._request(invoice_id, sat),
        }
        requests = [make() for rail, make in made.items() if rail in rails]
        unified = None
        if len(requests) == len(made):
            unified = {
                "uri": f"{requests[1]['uri']}&lightning={BOLT11}",
                "qr_uri": f"{requests[1]['qr_uri']}&lightning={BOLT11.upper()}",
                "qr_svg_url": requests[1]["qr_svg_url"].replace("onchain", "unified"),
                "qr_png_url": requests[1]["qr_png_url"].replace("onchain", "unified"),
            }
        return {"requests": requests, "unified": unified}

    def _lightning(self, invoice_id: str, amount_msat: int) -> Json:
        base = f"{self.backend.origin}/v1/invoices/{invoice_id}/qr"
        return {
            "rail": "lightning",
            "address": None,
            "address_index": None,
            "bolt11": BOLT11,
            "payment_hash": "cd" * 32,
            "description": '{"item":"it_article00000000000001"}',
            "amount_sat": -(-amount_msat // 1000),
            "amount_msat": amount_msat,
            "uri": f"lightning:{BOLT11}",
            "qr_uri": f"LIGHTNING:{BOLT11.upper()}",
            "qr_svg_url": f"{base}.svg?rail=lightning",
            "qr_png_url": f"{base}.png?rail=lightning",
            "confirmations_required": 0,
        }

    def _request(self, invoice_id: str, sat: int) -> Json:
        amount = f"{sat / 1e8:.8f}".rstrip("0").rstrip(".")
        base = f"{self.backend.origin}/v1/invoices/{invoice_id}/qr"
        return {
            "rail": "onchain",
            "address": ADDRESS,
            "address_index": 0,
            "bolt11": None,
            "payment_hash": None,
            "description": None,
            "amount_sat": sat,
            "amount_msat": sat * 1000,
            "uri": f"bitcoin:{ADDRESS}?amount={amount}",
            "qr_uri": f"BITCOIN:{ADDRESS.upper()}?amount={amount}",
            "qr_svg_url": f"{base}.svg?rail=onchain&sat={sat}",
            "qr_png_url": f"{base}.png?rail=onchain&sat={sat}",
            "confirmations_required": 0,
        }

    def create(self, item_id: str, challenge: str) -> Json:
        """Make an invoice, as POST /v1/invoices does."""
        invoice_id = f"in_{secrets.token_urlsafe(16)}"
        item = self.items[item_id]
        now = int(time.time())
        amount = item["price"]["amount_msat"]
        self.challenges[invoice_id] = challenge
        self.invoices[invoice_id] = {
            "id": invoice_id,
            "item": item_id,
            "state": "open",
            "marks": [],
            "amount_msat": amount,
            "price": item["price"],
            "created_at": now,
            "expires_at": now + 900,
            "rails": item["rails"],
            **self._requests(invoice_id, item["rails"], amount),
            "payments": [],
            "received_msat": 0,
            "missing_msat": amount,
            "credit_msat": 0,
            "events_url": f"{self.events.origin}/events/{invoice_id}",
            "checkout_url": f"{self.backend.origin}/pay/{item_id}?invoice={invoice_id}",
        }
        return self.invoices[invoice_id]

    def view(self, invoice_id: str) -> Json:
        """Return an invoice as the API shows it now."""
        return self.invoices[invoice_id] | {"now": int(time.time())}

    def collect(self, invoice_id: str, verifier: str, how: str) -> Response:
        """Answer a claim or a redeem."""
        if invoice_id not in self.invoices:
            return problem(404, "unknown_invoice")
        digest = hashlib.sha256(verifier.encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != self.challenges[invoice_id]:
            return problem(403, "verifier_mismatch")
        invoice = self.invoices[invoice_id]
        if how == "claim" and invoice["state"] != "paid" and invoice_id not in self.redeemed:
            return problem(409, "invoice_not_paid")
        if how == "redeem" and invoice["credit_msat"] < invoice["amount_msat"]:
            return problem(409, "no_credit")
        if how == "redeem":
            invoice["credit_msat"] -= invoice["amount_msat"]
            self.redeemed.add(invoice_id)
        grant = f"grant.{secrets.token_urlsafe(12)}"
        self.grants[grant] = invoice["item"]
        receipt = f"receipt.{secrets.token_urlsafe(12)}"
        return answer(
            {"grant": grant, "receipt": receipt, "item": invoice["item"], "expires_at": None}
        )

    def _granted(self, item_id: str) -> bool:
        grant = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.grants.get(grant) == item_id

    def _backend_app(self) -> Flask:
        app = Flask(
            __name__,
            static_folder=str(SERVER / "static"),
            template_folder=str(SERVER / "templates"),
        )
        app.add_template_filter(utc_time)
        app.add_template_filter(utc_words)
        language.register(app)
        checkout_words.register(app)
        # Nobody's colours: what a brand changes is looked at on the pages of merchants.
        app.context_processor(lambda: {"brand": lambda site_id: None})
        app.before_request(self._intercept)
        app.after_request(allow_any_origin)
        self._add_calls(app)
        self._add_purchases(app)

        @app.get("/widget/<path:name>")
        def widget(name: str) -> Response:
            return send_from_directory(WIDGET, name, mimetype="text/javascript", max_age=0)

        @app.get("/hosted/<name>")
        def hosted(name: str) -> Response:
            headers = {"Content-Security-Policy": PAGE_POLICY}
            return Response(self.hosted[name], mimetype="text/html", headers=headers)

        @app.get("/download/<item_id>")
        def download(item_id: str) -> Response:
            headers = {"Content-Disposition": 'attachment; filename="field-recordings.zip"'}
            return Response(b"PK", mimetype="application/zip", headers=headers)

        return app

    def _intercept(self) -> Response | None:
        if request.method == "OPTIONS":
            return Response(status=204)
        call = f"{request.method} {request.path}"
        self.calls.append(call)
        for prefix, (status, code) in self.errors.items():
            if call.startswith(prefix):
                broken = Response("<h1>Bad gateway</h1>", 502)
                return broken if code == "drop" else problem(status, code)
        return None

    def _add_calls(self, app: Flask) -> None:
        @app.get("/v1/items/<item_id>")
        def get_item(item_id: str) -> Response:
            item = self.items.get(item_id)
            return answer(item) if item else problem(404, "unknown_item")

        @app.post("/v1/invoices")
        def create_invoice() -> Response:
            body = request.get_json()
            key = request.headers.get("Idempotency-Key", "")
            with self.lock:
                if key not in self.keys:
                    self.keys[key] = self.create(body["item"], body["challenge"])["id"]
            return answer(self.view(self.keys[key]), 201)

        @app.get("/v1/invoices/<invoice_id>")
        def get_invoice(invoice_id: str) -> Response:
            known = invoice_id in self.invoices
            return answer(self.view(invoice_id)) if known else problem(404, "unknown_invoice")

        @app.get("/v1/invoices/<invoice_id>/qr.svg")
        def qr(invoice_id: str) -> Response:
            invoice = self.invoices[invoice_id]
            codes = {asked["rail"]: asked["qr_uri"] for asked in invoice["requests"]}
            if invoice["unified"]:
                codes["unified"] = invoice["unified"]["qr_uri"]
            # The code for both is no more once a part has arrived.
            if request.args["rail"] not in codes:
                return problem(404, "not_found")
            code = qr_svg(codes[request.args["rail"]])
            return Response(code, mimetype="image/svg+xml")

    def _add_purchases(self, app: Flask) -> None:
        @app.post("/v1/invoices/<invoice_id>/<any(claim,redeem):how>")
        def collect(invoice_id: str, how: str) -> Response:
            return self.collect(invoice_id, request.get_json()["verifier"], how)

        @app.post("/v1/unlocks")
        def unlock() -> Response:
            item_id = request.get_json()["item"]
            grant = f"grant.{secrets.token_urlsafe(12)}"
            self.grants[grant] = item_id
            bought = {"grant": grant, "receipt": "receipt.x", "item": item_id, "expires_at": None}
            left = {"charged_msat": 5_000_000, "balance_msat": 12_000_000, "gift_msat": 0}
            undo = {"outcome": "booked", "undo_until": int(time.time()) + 60}
            return answer(bought | left | undo)

        @app.get("/v1/content/<item_id>")
        def content(item_id: str) -> Response:
            if not self._granted(item_id):
                return problem(401, "grant_invalid")
            title = self.items[item_id]["title"]
            return answer({"item": item_id, "title": title, "html": self.content_html})

        @app.post("/v1/files/<item_id>/link")
        def link(item_id: str) -> Response:
            if not self._granted(item_id):
                return problem(401, "grant_invalid")
            return answer({"url": f"/download/{item_id}", "expires_at": int(time.time()) + 60})

    def _events_app(self) -> Flask:
        app = Flask(__name__)
        app.after_request(allow_any_origin)

        @app.get("/events/<invoice_id>")
        def events(invoice_id: str) -> Response:
            self.calls.append(f"EVENTS {invoice_id}")
            if not self.events_work:
                return Response(status=503)
            return Response(self._stream(invoice_id), mimetype="text/event-stream")

        return app

    def _stream(self, invoice_id: str) -> Iterator[str]:
        box: queue.Queue[str] = queue.Queue()
        with self.lock:
            self.listeners.append((invoice_id, box))
        yield "retry: 3000\n\n"
        while True:
            invoice = self.view(invoice_id)
            yield f"event: invoice\ndata: {json.dumps(invoice)}\n\n"
            if invoice["state"] == "paid":
                return
            try:
                box.get(timeout=15)
            except queue.Empty:
                yield ": still here\n\n"

    def _site_app(self) -> Flask:
        app = Flask(__name__)

        @app.get("/site.css")
        def css() -> Response:
            return Response(SITE_CSS, mimetype="text/css")

        @app.get("/<path:path>")
        def page(path: str) -> Response:
            if path not in self.pages:
                return Response(status=404)
            backend, events = self.backend.origin, self.events.origin
            policy = (
                f"default-src 'none'; script-src {backend}; connect-src {backend} {events}; "
                f"img-src {backend}; style-src 'self'; base-uri 'none'; form-action 'none'"
            )
            headers = {"Content-Security-Policy": policy}
            return Response(self.pages[path], mimetype="text/html", headers=headers)

        return app


SITE_CSS = """
:root { color-scheme: light dark }
body { margin: 0; font: 18px/1.6 Georgia, "Noto Serif", serif; background: #fbfaf7; color: #22201c }
main { max-width: 640px; margin: 0 auto; padding: 24px 16px }
h1 { font-size: 30px; line-height: 1.2 }
.bitcache-content p:first-of-type { text-indent: 11px }
@media (prefers-color-scheme: dark) { body { background: #121110; color: #ece7df } }
"""


def answer(body: Json, status: int = 200) -> Response:
    """Return JSON that no cache may keep."""
    headers = {"Cache-Control": "no-store"}
    return Response(json.dumps(body), status, headers, mimetype="application/json")


def problem(status: int, code: str) -> Response:
    """Return an error as RFC 9457 describes it."""
    body = {"type": "about:blank", "title": code, "status": status, "detail": code, "code": code}
    return Response(json.dumps(body), status, mimetype="application/problem+json")


def allow_any_origin(response: Response) -> Response:
    """Let every site read the answer; grants travel in a header, not in cookies."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Allow-Headers"] = (
        "Authorization, Content-Type, Idempotency-Key"
    )
    return response
