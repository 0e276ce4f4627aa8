"""Branding: name, colours, logo and texts, and where customers see them."""

import io
import struct
import zlib

import pytest
from PIL import Image
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.domain.colours import READABLE, WHITE, contrast, lightened, text_on
from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.session import write_transaction
from bitcache_server.services.branding import DARK_BACKGROUND, brand_of
from bitcache_server.services.logos import MAX_BYTES
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant
from tests.support.api import assert_problem, call
from tests.support.dashboard import Person, sign_in
from tests.support.world import PUBLIC_URL, World

MARK = b"<script>alert(1)</script>"


def form(**changed: str) -> dict[str, object]:
    return {
        "name": "Ada's press",
        "accent": "#0A5C36",
        "accent_dark": "",
        "support": "help@ada.example",
        "legal_text": "Ada Press\r\n1 Analytical Row",
        **changed,
    }


def picture(kind: str, size: tuple[int, int] = (600, 300), **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "#0a5c36").save(out, kind, **options)
    return out.getvalue()


def upload(person: Person, data: bytes, name: str = "logo.png") -> TestResponse:
    return person.post("./branding/logo", {"logo": (io.BytesIO(data), name)})


def logo(world: World) -> Image.Image:
    answer = call(world, "GET", f"/brand/{world.merchant_id}.png")
    assert (answer.status_code, answer.mimetype) == (200, "image/png")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
    return Image.open(io.BytesIO(answer.data))


def test_what_an_owner_writes_is_kept_and_shown(world: World) -> None:
    person = sign_in(world)
    answer = person.post("./branding", form())
    assert answer.location == person.path("/branding?done=changed")
    world.session.rollback()
    brand = brand_of(world.session, world.merchant_id)
    assert (brand.name, brand.accent, brand.accent_dark) == ("Ada's press", "#0a5c36", "")
    assert brand.legal_text == "Ada Press\n1 Analytical Row"
    assert brand.support_url == "mailto:help@ada.example"
    css = call(world, "GET", f"/brand/{world.merchant_id}.css")
    assert css.mimetype == "text/css"
    assert "--accent: #0a5c36; --on-accent: #ffffff;" in css.text
    assert f"--accent: {brand.accent_on_dark}; --on-accent: #000000;" in css.text
    page = world.client.get(f"/pay/{world.article_id}")
    assert f'<link rel="stylesheet" href="/brand/{world.merchant_id}.css?v=' in page.text
    assert "style-src 'self'" in page.headers["Content-Security-Policy"]
    world.session.rollback()
    entry = world.session.scalars(select(AuditEntry)).one()
    assert entry.action == "brand.changed"


def test_without_a_brand_nothing_is_loaded(sqlite_world: World) -> None:
    assert "/brand/" not in sqlite_world.client.get(f"/pay/{sqlite_world.article_id}").text
    for kind in ("css", "png"):
        answer = call(sqlite_world, "GET", f"/brand/{sqlite_world.merchant_id}.{kind}")
        assert_problem(answer, 404, "not_found")
    assert_problem(call(sqlite_world, "GET", "/brand/me_x.css"), 404, "unknown_merchant")


def test_the_readers_wallet_never_looks_like_a_merchants(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    person.post("./branding", form())
    path = f"/wallet/connect?item={sqlite_world.article_id}&origin=https://blog.example"
    assert "/brand/" not in person.get(path).text
    assert "/brand/" not in person.get("/wallet").text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"accent": "#f0a35e"}, "too pale on white"),
        ({"accent": "#0a5c36", "accent_dark": "#0a5c36"}, "too dark on dark pages"),
        ({"accent": "", "accent_dark": "#f0a35e"}, "on light pages as well"),
        ({"accent": "green"}, "six digits"),
        ({"accent": "#0a5c36;}*{color:red"}, "six digits"),
        ({"name": " "}, "name is empty"),
        ({"support": "nobody"}, "e-mail address"),
        ({"support": "http://ada.example"}, "https://"),
        ({"support": "javascript:alert(1)//@a.b"}, "e-mail address"),
        ({"support": "a@b.example\r\nBcc: all@b.example"}, "control character"),
        ({"legal_text": "x" * 2_001}, "longer than 2000"),
        ({"legal_text": "a\x1b[31m"}, "control character"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    sqlite_world: World, changed: dict[str, str], words: str
) -> None:
    person = sign_in(sqlite_world)
    answer = person.post("./branding", form(**changed))
    assert answer.status_code == 422
    assert words in answer.text
    sqlite_world.session.rollback()
    brand = brand_of(sqlite_world.session, sqlite_world.merchant_id)
    assert (brand.name, brand.accent, brand.support) == ("Ada", "", "")


def test_every_colour_that_is_taken_can_be_read() -> None:
    for colour in ("#000000", "#0a5c36", "#b4470d", "#767676", "#1d1b18", "#0000ff"):
        assert contrast(colour, WHITE) >= READABLE
        dark = lightened(colour, DARK_BACKGROUND)
        assert contrast(dark, DARK_BACKGROUND) >= READABLE
        for one in (colour, dark):
            assert contrast(one, text_on(one)) >= READABLE
    # The definition's own examples: the extremes, and a grey that just passes.
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") < READABLE < contrast("#767676", "#ffffff")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_logo_is_drawn_anew(world: World, kind: str) -> None:
    person = sign_in(world)
    answer = upload(person, picture(kind) + MARK)
    assert answer.location == person.path("/branding?done=logo")
    found = logo(world)
    assert (found.format, found.size) == ("PNG", (256, 128))
    assert MARK not in call(world, "GET", f"/brand/{world.merchant_id}.png").data
    page = world.client.get(f"/pay/{world.article_id}").text
    assert f'<img src="/brand/{world.merchant_id}.png?v=' in page
    person.post("./branding/logo/remove", {})
    assert call(world, "GET", f"/brand/{world.merchant_id}.png").status_code == 404
    assert "<img" not in world.client.get(f"/pay/{world.article_id}").text


def test_metadata_and_names_do_not_survive(sqlite_world: World) -> None:
    exif = Image.Exif()
    exif[0x010E] = MARK.decode()
    person = sign_in(sqlite_world)
    upload(person, picture("JPEG", exif=exif, comment=MARK), "../../<b>.png")
    found = logo(sqlite_world)
    assert not found.getexif()
    assert MARK not in call(sqlite_world, "GET", f"/brand/{sqlite_world.merchant_id}.png").data


def test_a_newer_logo_takes_the_place_of_the_old(world: World) -> None:
    person = sign_in(world)
    upload(person, picture("PNG"))
    first = call(world, "GET", f"/pay/{world.article_id}").text
    upload(person, picture("PNG", (20, 20)))
    assert logo(world).size == (20, 20)
    second = call(world, "GET", f"/pay/{world.article_id}").text
    # Another address, so that no cache shows the old one, also within the same second.
    assert first.partition(".png?v=")[2][:12] != second.partition(".png?v=")[2][:12]


def bomb() -> bytes:
    """Return a small PNG that says it has 30,000 by 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000))
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Choose a picture"),
        (b"nothing like a picture", "no PNG, JPEG or WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "no PNG, JPEG or WebP"),
        (picture("GIF"), "no PNG, JPEG or WebP"),
        (picture("PNG")[:60], "no PNG, JPEG or WebP"),
        (bytes(MAX_BYTES + 1), "at most 200 kB"),
        (bomb(), "too many pixels"),
        (picture("PNG", (4_000, 2_001)), "too many pixels"),
    ],
    ids=["nothing", "text", "svg", "gif", "broken", "large", "bomb", "pixels"],
)
def test_what_is_no_logo_is_refused(sqlite_world: World, data: bytes, words: str) -> None:
    answer = upload(sign_in(sqlite_world), data)
    assert answer.status_code == 422
    assert words in answer.text
    assert call(sqlite_world, "GET", f"/brand/{sqlite_world.merchant_id}.png").status_code == 404


def test_branding_is_for_owners_of_this_merchant(sqlite_world: World) -> None:
    for role in (Role.EDITOR, Role.ACCOUNTANT):
        assert sign_in(sqlite_world, role).get("./branding").status_code == 403
    with write_transaction(sqlite_world.session):
        other = add_merchant(sqlite_world.deps, sqlite_world.session, "Bob", None).id
    person = sign_in(sqlite_world, Role.OWNER, merchant_id=other)
    path = f"/dashboard/{sqlite_world.merchant_id}/branding"
    assert person.post(path, form()).status_code == 404
    forged = {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"}
    assert sign_in(sqlite_world).post("./branding", form(), **forged).status_code == 403
    assert PUBLIC_URL == "https://pay.example"


def test_names_and_texts_are_text(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    person.post("./branding", form(name=MARK.decode(), legal_text=MARK.decode()))
    assert MARK.decode() not in person.get("./branding").text
