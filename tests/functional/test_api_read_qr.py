"""GET /v1/invoices/{invoice_id}/qr.svg and qr.png"""

import io

import resvg_py
import zxingcpp
from PIL import Image

from tests.support.api import assert_refused, call
from tests.support.lightning_world import LightningWorld
from tests.support.world import PUBLIC_URL, Purchase, World


def decode(picture: Image.Image) -> str:
    [code] = zxingcpp.read_barcodes(picture)
    return str(code.text)


def scan(world: World, purchase: Purchase) -> set[str]:
    """Read both pictures as a phone does, at the addresses that the invoice names."""
    [request] = world.read(purchase)["requests"]
    return scan_at(world, request["qr_svg_url"], request["qr_png_url"])


def scan_at(world: World, svg_url: str, png_url: str) -> set[str]:
    """Read two pictures as a phone does."""
    svg = call(world, "GET", svg_url.removeprefix(PUBLIC_URL))
    png = call(world, "GET", png_url.removeprefix(PUBLIC_URL))
    assert (svg.mimetype, png.mimetype) == ("image/svg+xml", "image/png")
    for answer in (svg, png):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
    drawn = bytes(resvg_py.svg_to_bytes(svg_string=svg.text, width=800))
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in (drawn, png.data)]
    return {decode(picture) for picture in pictures}


def test_a_phone_reads_what_the_invoice_says(sqlite_world: World) -> None:
    purchase = sqlite_world.buy()
    [request] = purchase.invoice["requests"]
    assert scan(sqlite_world, purchase) == {request["qr_uri"]}
    assert request["qr_uri"].endswith("?amount=0.00005")


def test_after_too_little_it_asks_for_what_is_missing(sqlite_world: World) -> None:
    purchase = sqlite_world.buy()
    before = purchase.invoice["requests"][0]
    sqlite_world.pay(purchase, 1_999_000)
    after = sqlite_world.read(purchase)["requests"][0]
    assert (before["amount_sat"], after["amount_sat"]) == (5_000, 3_001)
    # Another address of the picture, so that a browser shows the new one.
    assert before["qr_svg_url"] != after["qr_svg_url"]
    assert scan(sqlite_world, purchase) == {after["qr_uri"]}
    assert after["qr_uri"].endswith("?amount=0.00003001")


def test_before_there_is_anything_to_draw(sqlite_world: World) -> None:
    purchase = sqlite_world.buy(rail=None)
    for name in ("qr.svg", "qr.png"):
        path = f"/v1/invoices/{purchase.id}/{name}"
        for query in ("", "?rail=fake", "?rail=%E2%98%83"):
            assert_refused(sqlite_world, call(sqlite_world, "GET", path + query), 404, "not_found")
        for query in ("?rail=a&rail=b", "?sat=x", "?sat=-1", "?size=9", f"?rail={'x' * 17}"):
            answer = call(sqlite_world, "GET", path + query)
            assert_refused(sqlite_world, answer, 422, "invalid_request")
        answer = call(sqlite_world, "GET", f"/v1/invoices/in_x/{name}")
        assert_refused(sqlite_world, answer, 404, "unknown_invoice")


def test_lightning_and_one_code_for_both(lightning_world: LightningWorld) -> None:
    """Codes of some hundred characters, which cameras must still read."""
    purchase = lightning_world.buy(rail="any")
    lightning, chain = purchase.invoice["requests"]
    unified = purchase.invoice["unified"]
    for code in (lightning, chain, unified):
        found = scan_at(lightning_world, code["qr_svg_url"], code["qr_png_url"])
        assert found == {code["qr_uri"]}
    base = f"{PUBLIC_URL}/v1/invoices/{purchase.id}/qr"
    # Without a word the best one.
    assert scan_at(lightning_world, f"{base}.svg", f"{base}.png") == {unified["qr_uri"]}
    alone = lightning_world.buy()
    base = f"{PUBLIC_URL}/v1/invoices/{alone.id}/qr"
    [request] = alone.invoice["requests"]
    assert scan_at(lightning_world, f"{base}.svg", f"{base}.png") == {request["qr_uri"]}
    refused = call(lightning_world, "GET", f"/v1/invoices/{alone.id}/qr.svg?rail=unified")
    assert_refused(lightning_world, refused, 404, "not_found")
