import io
import re

import pytest
import resvg_py
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bitcache_server.http.qr import qr_modules, qr_png, qr_svg

SEGWIT = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"
TAPROOT = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqjs37tz"
LOWER = [f"bitcoin:{SEGWIT}?amount=0.00005", f"bitcoin:{TAPROOT}?amount=12.34567891"]
UPPER = [
    f"BITCOIN:{SEGWIT.upper()}?amount=0.00005",
    f"BITCOIN:{TAPROOT.upper()}?amount=12.34567891",
]
INVOICE = "LIGHTNING:LNBC" + "0123456789ACDEFGHJKLMNPQRSTUVWXYZ" * 12
TEXTS = [*LOWER, *UPPER, INVOICE, "https://example.org/pay/it_x?a=1&b=\u00e9\u4e2d", "1", "0" * 40]


def picture_of(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def rasterised(svg: bytes, width: int) -> Image.Image:
    return picture_of(bytes(resvg_py.svg_to_bytes(svg_string=svg.decode(), width=width)))


def read(picture: Image.Image) -> list[str]:
    return [code.text for code in zxingcpp.read_barcodes(picture)]


def size_of(text: str) -> int:
    return len(qr_modules(text)) - 8


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:24])
def test_a_reader_reads_the_png(text: str) -> None:
    assert read(picture_of(qr_png(text))) == [text]


@pytest.mark.parametrize("width", [160, 320, 1001])
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:24])
def test_a_reader_reads_the_svg_at_any_size(text: str, width: int) -> None:
    if width >= 3 * len(qr_modules(text)):
        assert read(rasterised(qr_svg(text), width)) == [text]


@pytest.mark.parametrize("text", [UPPER[0], LOWER[0]])
def test_a_reader_reads_it_on_a_black_page_and_turned(text: str) -> None:
    picture = picture_of(qr_png(text))
    page = Image.new("RGB", (picture.width * 2, picture.height * 2), "black")
    page.paste(picture, (50, 70))
    assert read(page) == [text]
    assert read(picture.rotate(17, expand=True, fillcolor="black")) == [text]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_whatever_the_text(text: str) -> None:
    assert [code.bytes for code in zxingcpp.read_barcodes(picture_of(qr_png(text)))] == [
        text.encode()
    ]


@pytest.mark.parametrize(("lower", "upper"), [*zip(LOWER, UPPER, strict=True)])
def test_capitals_make_a_smaller_code(lower: str, upper: str) -> None:
    assert size_of(upper) < size_of(lower)


def test_codes_are_as_small_as_these_texts_allow() -> None:
    """Modules a side: 29 is version 3, 33 is version 4 (ISO/IEC 18004 table 7, level L)."""
    assert [size_of(text) for text in UPPER] == [29, 33]


def quiet_zone_px(picture: Image.Image) -> tuple[int, int, int, int]:
    """Return the white pixels left of, above, right of and below all dark ones."""
    dark = picture.convert("L").point(lambda value: 255 if value < 255 else 0)
    box = dark.getbbox()
    assert box
    return box[0], box[1], picture.width - box[2], picture.height - box[3]


@pytest.mark.parametrize("text", [UPPER[0], INVOICE])
def test_four_white_modules_around_in_both_forms(text: str) -> None:
    modules = len(qr_modules(text))
    for picture in (picture_of(qr_png(text)), rasterised(qr_svg(text), modules * 8)):
        assert picture.size == (modules * 8, modules * 8)
        assert min(quiet_zone_px(picture)) >= 4 * 8


def test_black_on_white_whatever_the_page_looks_like() -> None:
    png = picture_of(qr_png(UPPER[0]))
    svg = rasterised(qr_svg(UPPER[0]), png.width)
    assert {colour for _, colour in png.getcolors() or []} == {(0, 0, 0), (255, 255, 255)}
    assert list(svg.get_flattened_data()) == list(png.get_flattened_data())


def test_the_svg_has_no_fixed_size_and_none_of_the_text() -> None:
    svg = qr_svg('"><script>alert(1)</script>').decode()
    assert "viewBox=" in svg
    assert "script" not in svg
    assert not re.search(r"<svg[^>]*\b(width|height)=", svg)


def test_pictures_are_small() -> None:
    assert len(qr_png(INVOICE)) < 4_000
    assert len(qr_svg(UPPER[0])) < 5_000


@pytest.mark.parametrize("text", ["", "a" * 3_000, "\ud800"], ids=["empty", "long", "surrogate"])
def test_texts_that_fit_no_code(text: str) -> None:
    for draw in (qr_svg, qr_png):
        with pytest.raises(ValueError, match="no QR code"):
            draw(text)
