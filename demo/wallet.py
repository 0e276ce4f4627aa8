"""The reader's phone wallet of the demo: a page that reads a QR code and pays it.

It spends the coins of the regtest node and pays through the channel of the reader's own
Lightning wallet, but shows a small purse of its own, as a reader would have one, and
refuses to spend more than is in it. The network's fees are not taken from it.
"""

import io
import threading
from dataclasses import dataclass
from pathlib import Path

import zxingcpp
from bitcoinrpc.authproxy import JSONRPCException
from flask import Flask, Response, jsonify, render_template, request
from PIL import Image, UnidentifiedImageError

from demo.payment_codes import NotAPaymentCode, PaymentCode, parse_payment_code
from demo.regtest.electrum_daemon import ElectrumDaemon, LightningNetworkError
from demo.regtest.node import RegtestNode

PAGE = Path(__file__).with_name("wallet_page")
PURSE_SAT = 1_000_000
MAX_IMAGE_BYTES = 20_000_000


@dataclass(frozen=True)
class Sent:
    """A payment that left the wallet."""

    reference: str
    """The transaction id, or the preimage that proves a Lightning payment."""
    amount_sat: int


class Purse:
    """What the reader has and what they have paid."""

    def __init__(self, node: RegtestNode, lightning: ElectrumDaemon | None) -> None:
        self.balance_sat = PURSE_SAT
        self.sent: list[Sent] = []
        self._node = node
        self._lightning = lightning
        self._lock = threading.Lock()

    def pay(self, destination: str, amount_sat: int) -> None:
        """Send the amount; raise NotAPaymentCode in words for the reader."""
        code = parse_payment_code(destination)
        # An invoice is paid as it stands.
        amount_sat = code.amount_sat or amount_sat
        with self._lock:
            if not 0 < amount_sat <= self.balance_sat:
                raise NotAPaymentCode("There is not enough in the wallet for that.")
            reference = self._send(code, amount_sat)
            self.balance_sat -= amount_sat
            self.sent.insert(0, Sent(reference, amount_sat))

    def _send(self, code: PaymentCode, amount_sat: int) -> str:
        try:
            if not code.over_lightning:
                return self._node.pay(code.destination, amount_sat)
            if self._lightning is None:
                raise NotAPaymentCode("This wallet has no Lightning channel.")
            return self._lightning.pay(code.destination)
        except (JSONRPCException, LightningNetworkError) as error:
            words = getattr(error, "message", None) or str(error)
            raise NotAPaymentCode(f"The payment was refused: {words}") from error


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


def create_wallet(
    node: RegtestNode, usd_per_btc: int, lightning: ElectrumDaemon | None = None
) -> Flask:
    """Return the wallet's web app; without a Lightning wallet it pays on-chain alone."""
    app = Flask(
        "demo_wallet", template_folder=str(PAGE), static_folder=PAGE, static_url_path="/static"
    )
    app.config["MAX_CONTENT_LENGTH"] = MAX_IMAGE_BYTES
    purse = Purse(node, lightning)

    def state() -> Response:
        payments = [{"reference": s.reference, "amount_sat": s.amount_sat} for s in purse.sent]
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
        return jsonify(
            destination=code.destination,
            amount_sat=code.amount_sat,
            over_lightning=code.over_lightning,
        )

    @app.post("/pay")
    def pay() -> Response:
        order = request.get_json()
        purse.pay(str(order["destination"]), int(order["amount_sat"]))
        return state()

    @app.errorhandler(NotAPaymentCode)
    def refused(error: NotAPaymentCode) -> tuple[Response, int]:
        return jsonify(error=str(error)), 422

    return app
