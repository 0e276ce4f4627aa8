"""The reader's phone wallet of the demo: a page that reads a QR code and pays it.

It spends the coins of the regtest node, but shows a small purse of its own, as a
reader would have one, and refuses to spend more than is in it. The node pays the fees.
"""

import io
import threading
from dataclasses import dataclass
from pathlib import Path

import zxingcpp
from bitcoinrpc.authproxy import JSONRPCException
from flask import Flask, Response, jsonify, render_template, request
from PIL import Image, UnidentifiedImageError

from demo.bip21 import NotAPaymentCode, parse_payment_code
from demo.regtest.node import RegtestNode

PAGE = Path(__file__).with_name("wallet_page")
PURSE_SAT = 1_000_000
MAX_IMAGE_BYTES = 20_000_000


@dataclass(frozen=True)
class Sent:
    """A payment that left the wallet."""

    txid: str
    amount_sat: int


class Purse:
    """What the reader has and what they have paid."""

    def __init__(self, node: RegtestNode) -> None:
        self.balance_sat = PURSE_SAT
        self.sent: list[Sent] = []
        self._node = node
        self._lock = threading.Lock()

    def pay(self, address: str, amount_sat: int) -> None:
        """Send the amount; raise NotAPaymentCode in words for the reader."""
        with self._lock:
            if not 0 < amount_sat <= self.balance_sat:
                raise NotAPaymentCode("There is not enough in the wallet for that.")
            try:
                txid = self._node.pay(address, amount_sat)
            except JSONRPCException as error:
                raise NotAPaymentCode(f"The payment was refused: {error.message}") from error
            self.balance_sat -= amount_sat
            self.sent.insert(0, Sent(txid, amount_sat))


def read_qr(image: bytes) -> str:
    """Return the text of the QR code in a picture; raise NotAPaymentCode."""
    try:
        picture = Image.open(io.BytesIO(image)).convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise NotAPaymentCode("This file is not a picture.") from None
    codes = zxingcpp.read_barcodes(
        picture, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    )
    if not codes:
        raise NotAPaymentCode("There is no QR code in this picture that could be read.")
    return str(codes[0].text)


def create_wallet(node: RegtestNode, usd_per_btc: int) -> Flask:
    """Return the wallet's web app."""
    app = Flask(
        "demo_wallet", template_folder=str(PAGE), static_folder=PAGE, static_url_path="/static"
    )
    app.config["MAX_CONTENT_LENGTH"] = MAX_IMAGE_BYTES
    purse = Purse(node)

    def state() -> Response:
        payments = [{"txid": s.txid, "amount_sat": s.amount_sat} for s in purse.sent]
        return jsonify(balance_sat=purse.balance_sat, usd_per_btc=usd_per_btc, payments=payments)

    @app.get("/")
    def page() -> str:
        return render_template("index.html")

    @app.get("/state")
    def get_state() -> Response:
        return state()

    @app.post("/read")
    def read() -> Response:
        text = read_qr(request.get_data()) if request.mimetype != "text/plain" else ""
        code = parse_payment_code(text or request.get_data(as_text=True))
        return jsonify(address=code.address, amount_sat=code.amount_sat)

    @app.post("/pay")
    def pay() -> Response:
        order = request.get_json()
        purse.pay(str(order["address"]), int(order["amount_sat"]))
        return state()

    @app.errorhandler(NotAPaymentCode)
    def refused(error: NotAPaymentCode) -> tuple[Response, int]:
        return jsonify(error=str(error)), 422

    return app
