"""Pictures that cost, of each kind and with both libraries that PHP has: previews and sizes.

One WordPress has GD alone, the other Imagick alone. Debian's ImageMagick may not open PDFs, so
a stand-in draws their first page, and WordPress makes its sizes of that.
"""

import base64
import io
import random
from collections.abc import Iterator

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.support.wordpress import WordPresses
from tests.wordpress.shelf import Shelf, opened

WIDE, HIGH = 420, 300
SECRET = "qzsecretofexif"
_ORIENTATION, _DESCRIPTION = 0x0112, 0x010E


@pytest.fixture(scope="module", params=[("6.5", "gd"), ("7.1", "imagick")], ids=["gd", "imagick"])
def shelf(request: pytest.FixtureRequest, wordpresses: WordPresses) -> Iterator[Shelf]:
    version, library = request.param
    with opened(wordpresses, "beside", version=version, pictures=library) as made:
        yield made


def _scene(mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right, green around it, and grains of a point everywhere."""
    image = Image.new("RGB", (WIDE, HIGH), (0, 220, 0))
    image.paste((220, 0, 0), (84, 60, WIDE // 2, HIGH - 60))
    image.paste((0, 0, 220), (WIDE // 2, 60, WIDE - 84, HIGH - 60))
    grains = Image.frombytes("L", (WIDE, HIGH), random.Random(1).randbytes(WIDE * HIGH))
    image = Image.blend(image, grains.convert("RGB"), 0.2)
    if mode == "RGBA":
        # Nothing is seen of the left half.
        image.putalpha(Image.new("L", (WIDE, HIGH), 255))
        image.paste((220, 0, 0, 0), (0, 0, WIDE // 2, HIGH))
    return image


def _file(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "png":
        _scene("RGBA").save(out, "PNG")
    elif kind == "gif":
        second = Image.new("RGB", (WIDE, HIGH), (0, 220, 0))
        _scene().save(out, "GIF", save_all=True, append_images=[second])
    elif kind == "jpg":
        exif = Image.Exif()
        exif[_ORIENTATION], exif[_DESCRIPTION] = 3, SECRET
        _scene().rotate(180).save(out, "JPEG", exif=exif, quality=90)
    elif kind == "pdf":
        return b"%PDF-1.4\n" + SECRET.encode()
    elif kind == "heic":
        return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + SECRET.encode()
    else:
        _scene().save(out, kind.upper(), quality=90)
    return out.getvalue()


#: Draws the first page of every PDF.
_PAGE = """
require_once ABSPATH . WPINC . '/class-wp-image-editor.php';
require_once ABSPATH . WPINC . '/class-wp-image-editor-imagick.php';
class Bitcache_Page_Stand_In extends WP_Image_Editor_Imagick {
    public static $page = '';
    protected function pdf_load_source() {
        return $this->image->readImageBlob( self::$page );
    }
}
Bitcache_Page_Stand_In::$page = base64_decode( $input['page'] );
add_filter( 'wp_image_editors', function () { return array( 'Bitcache_Page_Stand_In' ); } );
"""
#: Writes a HEIC, which no library of Python's here does.
_HEIC = """
$image = new Imagick();
$image->readImageBlob( base64_decode( $input['page'] ) );
$image->setImageFormat( 'HEIC' );
return base64_encode( $image->getImageBlob() );
"""


_CHOOSE = """
update_post_meta( $input['id'], '_bitcache_preview', $input['choice'] );
return get_post_meta( $input['id'], '_bitcache_preview_file', true );
"""


def _preview(shelf: Shelf, media: int, choice: str) -> tuple[Image.Image | None, bytes]:
    path = shelf.site.eval(_CHOOSE, id=media, choice=choice)
    if not path:
        return None, b""
    data = (shelf.uploads / path).read_bytes()
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    assert "icc_profile" not in image.info
    assert not dict(image.getexif())
    assert SECRET.encode() not in data
    return image.convert("RGB"), data


def _near(image: Image.Image, across: float, colour: tuple[int, int, int]) -> bool:
    """Return whether a picture has about this colour at a place, half-way down."""
    at = (int(image.width * across), image.height // 2)
    seen = image.getpixel(at)
    assert isinstance(seen, tuple)
    return all(abs(int(one) - two) < 75 for one, two in zip(seen, colour, strict=True))


def _check_previews(shelf: Shelf, media: int, left: tuple[int, int, int]) -> None:
    blurred, _ = _preview(shelf, media, "")
    assert blurred is not None
    assert blurred.width == 480
    assert _near(blurred, 0.35, left)
    assert _near(blurred, 0.65, (40, 40, 200))
    # What is finer than one of 32 points is not in it.
    coarse = blurred.resize((32, 23), Image.Resampling.BOX)
    fine = ImageChops.difference(blurred, coarse.resize(blurred.size, Image.Resampling.BICUBIC))
    assert max(ImageStat.Stat(fine).rms) < 10
    middle, _ = _preview(shelf, media, "crop")
    assert middle is not None
    assert middle.width <= 168
    assert _near(middle.resize((32, 23)), 0.25, left)
    # Nothing of the edge, which is green.
    red, green, blue = middle.resize((8, 8), Image.Resampling.BOX).split()
    greener = ImageChops.subtract(green, ImageChops.lighter(red, blue))
    assert ImageStat.Stat(greener).extrema[0][1] < 10
    nothing, _ = _preview(shelf, media, "icon")
    assert nothing is None


def _put(shelf: Shelf, kind: str) -> int:
    if shelf.site.layout.pictures == "imagick" and kind in {"heic", "pdf"}:
        page = base64.b64encode(_file("webp")).decode()
        if kind == "pdf":
            return shelf.upload("scene.pdf", _file(kind), first=_PAGE, page=page)
        return shelf.upload("scene.heic", base64.b64decode(shelf.site.eval(_HEIC, page=page)))
    return shelf.upload(f"scene.{kind}", _file(kind))


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif", "avif", "heic", "pdf"])
def test_each_kind_of_picture(shelf: Shelf, kind: str) -> None:
    media = _put(shelf, kind)
    before = shelf.contents(media)
    # GD draws neither; WordPress keeps such a file and makes no sizes of it.
    drawn = shelf.site.layout.pictures == "imagick" or kind not in {"heic", "pdf"}
    assert len(before) >= 3 if drawn else len(before) == 1
    shelf.price(media)
    assert _left(shelf, "scene") == []
    if drawn:
        _check_previews(shelf, media, (255, 255, 255) if kind == "png" else (200, 25, 25))
    else:
        assert _preview(shelf, media, "") == (None, b"")
    buyer = shelf.buy(media)
    answer = shelf.get(shelf.links(media, buyer)[-1], cookies=buyer)
    assert answer.content in before.values()
    shelf.unprice(media)
    assert {path: (shelf.uploads / path).read_bytes() for path in before} == before
    assert _left(shelf, "scene") == sorted(before)
    shelf.site.eval("wp_delete_attachment( $input['id'], true );", id=media)


def _left(shelf: Shelf, stem: str) -> list[str]:
    """Return what of a picture the web server could serve."""
    found = (path for path in shelf.uploads.rglob(f"*{stem}*") if path.is_file())
    return sorted(str(path.relative_to(shelf.uploads)) for path in found)
