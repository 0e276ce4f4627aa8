"""Ways in which words and files can be locked or hidden: one line each at the end of the file."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.support.wordpress import WordPressSite
from tests.wordpress.canaries import Canary, picture, pieces_of, word

PRICE = {"_bitcache_price": "0.05", "_bitcache_currency": "USD"}
#: What belongs to a part that is bought alone.
OWN = '"part":"extra","price":"0.05","currency":"USD"'


@dataclass
class Planted:
    """A post (or a file) with something in it that nobody may see for nothing."""

    way: str
    post_id: int
    canary: Canary
    public: str
    """A word that everybody may see, if anybody may see the post."""
    title: str
    part: str = "post"
    files: list[str] = field(default_factory=list)
    """Addresses that the paid files had before they were paid."""
    listed: bool = True
    """Whether strangers may know that it is there."""


def p(text: str) -> str:
    """Return a paragraph."""
    return f"<!-- wp:paragraph -->\n<p>{text}</p>\n<!-- /wp:paragraph -->\n\n"


def _plant(
    site: WordPressSite,
    way: str,
    content: str,
    meta: dict[str, str] | None = None,
    *,
    part: str = "post",
    listed: bool = True,
    **fields: Any,
) -> Planted:
    title = f"Title {word(way + ' title')}"
    # The address says nothing: pages that repeat it give nothing away.
    named = {"post_title": title, "post_name": f"about-{way}", "meta_input": meta or {}}
    post_id = site.create_post(content, **named, **fields)
    public = word(way + " public")
    # Of what strangers may not know, nothing may be seen at all.
    words = (word(way),) if listed else (word(way), title.split()[1], public)
    return Planted(way, post_id, Canary(way, words), public, title, part, listed=listed)


def _teaser(way: str) -> str:
    return p(f"Everybody may read {word(way + ' public')}.")


def _behind(way: str) -> str:
    """Return what costs: words in many kinds of blocks."""
    secret = word(way)
    return (
        p(f"It costs {secret} something.")
        + f'<!-- wp:image {{"alt":"{secret}"}} -->\n<figure class="wp-block-image">'
        + f'<img src="/none.png" alt="{secret}"/></figure>\n<!-- /wp:image -->\n\n'
        + f"<!-- wp:html -->\n<aside data-x='{secret}'>{secret}</aside>\n<!-- /wp:html -->\n\n"
        + f"<!-- wp:heading -->\n<h2>{secret}</h2>\n<!-- /wp:heading -->"
    )


def block(site: WordPressSite, way: str, **fields: Any) -> Planted:
    """The divider block, and a price of the post."""
    content = f"{_teaser(way)}<!-- wp:bitcache/paywall /-->\n\n{_behind(way)}"
    return _plant(site, way, content, PRICE, **fields)


def shortcode(site: WordPressSite, way: str) -> Planted:
    """The divider for the classic editor."""
    content = f"Everybody may read {word(way + ' public')}.\n\n[bitcache_paywall]\n\n{word(way)}."
    return _plant(site, way, content, PRICE)


def wrap(site: WordPressSite, way: str) -> Planted:
    """A block around one part, with a price of its own."""
    opened, closed = f"<!-- wp:bitcache/paid {{{OWN}}} -->\n", "\n<!-- /wp:bitcache/paid -->\n"
    inside = f'<div class="wp-block-bitcache-paid">{_behind(way)}</div>'
    content = _teaser(way) + opened + inside + closed + p("And more for all.")
    return _plant(site, way, content, part="extra")


def wrap_shortcode(site: WordPressSite, way: str) -> Planted:
    """The same for the classic editor, with an attribute that tries to be a script."""
    content = (
        f"Everybody may read {word(way + ' public')}.\n\n"
        '[bitcache part="extra" price="0.05" currency="USD" label="&quot;><script>1</script>"]'
        f"{word(way)} [caption id='x' width='9']{word(way)}[/caption][/bitcache] And more."
    )
    return _plant(site, way, content, part="extra")


def nested(site: WordPressSite, way: str) -> Planted:
    """The divider inside a group and columns, where everything after it in the post costs."""
    inside = f"{_teaser(way)}<!-- wp:bitcache/paywall /-->\n\n{_behind(way)}"
    content = (
        '<!-- wp:group -->\n<div class="wp-block-group"><!-- wp:columns -->\n'
        '<div class="wp-block-columns"><!-- wp:column -->\n<div class="wp-block-column">'
        f"{inside}</div>\n<!-- /wp:column --></div>\n<!-- /wp:columns --></div>\n"
        f"<!-- /wp:group -->\n\n{_behind(way)}"
    )
    return _plant(site, way, content, PRICE)


def defaults(site: WordPressSite, way: str) -> Planted:
    """No mark in the post at all: its category has a price, one paragraph is free."""
    category = site.eval(
        "$t = wp_insert_term( 'Paid things', 'category' ); $id = $t['term_id'];"
        "update_term_meta( $id, 'bitcache_price', '0.05' );"
        "update_term_meta( $id, 'bitcache_currency', 'USD' ); return $id;"
    )
    made = _plant(site, way, _teaser(way) + _behind(way), post_category=[category])
    site.set_meta(made.post_id, _bitcache_rules={"free_paragraphs": 1})
    return made


def by_author(site: WordPressSite, way: str) -> Planted:
    """No mark either: everything of this author costs."""
    site.eval(
        "update_user_meta( 3, 'bitcache_price', '0.05' );"
        "update_user_meta( 3, 'bitcache_currency', 'USD' );"
    )
    made = _plant(site, way, _teaser(way) + _behind(way), post_author=3)
    site.set_meta(made.post_id, _bitcache_rules={"free_paragraphs": 1})
    return made


def page(site: WordPressSite, way: str) -> Planted:
    """A page instead of a post."""
    return block(site, way, post_type="page")


def pages(site: WordPressSite, way: str) -> Planted:
    """A post of several pages, of which the later ones cost; and a "more" before the wall."""
    content = (
        f"{_teaser(way)}<!-- wp:more -->\n<!--more-->\n<!-- /wp:more -->\n\n"
        f"<!-- wp:bitcache/paywall /-->\n\n{_behind(way)}"
        f"<!-- wp:nextpage -->\n<!--nextpage-->\n<!-- /wp:nextpage -->\n\n{_behind(way)}"
    )
    return _plant(site, way, content, PRICE)


def synced(site: WordPressSite, way: str) -> Planted:
    """The paid words lie in a synced pattern that the post refers to, behind the wall."""
    pattern = site.create_post(_behind(way), post_type="wp_block", post_title="A pattern")
    content = (
        f'{_teaser(way)}<!-- wp:bitcache/paywall /-->\n\n<!-- wp:block {{"ref":{pattern}}} /-->'
    )
    return _plant(site, way, content, PRICE)


def password(site: WordPressSite, way: str) -> Planted:
    """A password besides."""
    return block(site, way, post_password="open sesame")


def scheduled(site: WordPressSite, way: str) -> Planted:
    """To be published next year."""
    return block(site, way, post_status="future", post_date="2035-01-01 00:00:00", listed=False)


def draft(site: WordPressSite, way: str) -> Planted:
    """Not published."""
    return block(site, way, post_status="draft", listed=False)


def private(site: WordPressSite, way: str) -> Planted:
    """For editors alone."""
    return block(site, way, post_status="private", listed=False)


def revision(site: WordPressSite, way: str) -> Planted:
    """What costs stands in an older version as well, and in an autosave."""
    made = block(site, way)
    site.eval(
        "$post = get_post( $input['id'], ARRAY_A );"
        "wp_update_post( wp_slash( array( 'ID' => $post['ID'], 'post_content' =>"
        " $post['post_content'] . $input['more'] ) ) );"
        "$post['post_ID'] = $post['ID']; wp_create_post_autosave( wp_slash( $post ) );",
        id=made.post_id,
        more=p("Later words."),
    )
    return made


def trashed(site: WordPressSite, way: str) -> Planted:
    """In the bin."""
    made = block(site, way, listed=False)
    site.eval("wp_trash_post( $input['id'] );", id=made.post_id)
    return made


def sticky(site: WordPressSite, way: str) -> Planted:
    """On top of the front page."""
    made = block(site, way)
    site.eval("stick_post( $input['id'] );", id=made.post_id)
    return made


def translated(site: WordPressSite, way: str) -> Planted:
    """Two languages in one post, taken apart by a plugin (``stand_ins/translator.php``)."""
    half = f"{_teaser(way)}<!-- wp:bitcache/paywall /-->\n\n{_behind(way)}"
    return _plant(site, way, f"[:en]{half}[:de]{half}[:]", PRICE)


def excerpt(site: WordPressSite, way: str) -> Planted:
    """Nothing before the wall, so that an excerpt could only be made of what costs."""
    content = f"<!-- wp:bitcache/paywall /-->\n\n{_behind(way)}"
    made = _plant(site, way, content, PRICE)
    made.public = made.title
    return made


def _upload(site: WordPressSite, way: str, parent: int = 0) -> tuple[int, list[str]]:
    """Upload a picture as the admin; return its id and the address of each of its files."""
    name = f"{way}.jpg"
    answer = site.rest(
        "POST",
        "wp/v2/media",
        user="admin",
        content=picture(way),
        headers={
            "Content-Type": "image/jpeg",
            "Content-Disposition": f"attachment; filename={name}",
        },
    )
    assert answer.status_code == 201, answer.text
    media = answer.json()["id"]
    code = (
        "$id = $input['id']; if ( $input['parent'] ) { wp_update_post( array( 'ID' => $id,"
        " 'post_parent' => $input['parent'] ) ); }"
        "$url = wp_get_attachment_url( $id ); $all = array( $url );"
        "foreach ( wp_get_attachment_metadata( $id )['sizes'] as $size ) {"
        " $all[] = dirname( $url ) . '/' . $size['file']; } return $all;"
    )
    return media, site.eval(code, id=media, parent=parent)


def _bytes(site: WordPressSite, urls: list[str]) -> tuple[bytes, ...]:
    return tuple(
        piece for url in urls for piece in pieces_of(site.http.get(url).raise_for_status().content)
    )


def attachment(site: WordPressSite, way: str) -> Planted:
    """A picture that is sold alone."""
    media, files = _upload(site, way)
    pieces = _bytes(site, files)
    title = f"Title {word(way + ' title')}"
    site.eval(
        "wp_update_post( array( 'ID' => $input['id'], 'post_title' => $input['title'] ) );",
        id=media,
        title=title,
    )
    site.set_meta(media, **PRICE)
    canary = Canary(way, (), pieces)
    return Planted(way, media, canary, title, title, "file", files)


def with_post(site: WordPressSite, way: str) -> Planted:
    """Pictures that are sold with the post whose paid part shows them, and a gallery of them."""
    media, files = _upload(site, way)
    pieces = _bytes(site, files)
    image = (
        f'<!-- wp:image {{"id":{media},"sizeSlug":"large"}} -->\n<figure class="wp-block-image '
        f'size-large"><img src="{files[-1]}" alt="" class="wp-image-{media}"/></figure>\n'
        f"<!-- /wp:image -->\n\n"
        f'<!-- wp:shortcode -->\n[gallery ids="{media}"]\n<!-- /wp:shortcode -->\n\n'
    )
    content = f"{_teaser(way)}<!-- wp:bitcache/paywall /-->\n\n{_behind(way)}\n\n{image}"
    made = _plant(site, way, content, PRICE)
    made.canary = Canary(way, made.canary.words, pieces)
    made.files = files
    return made


#: Every way, by its name.
WAYS: dict[str, Callable[[WordPressSite, str], Planted]] = {
    "block": block,
    "shortcode": shortcode,
    "wrap": wrap,
    "wrapshortcode": wrap_shortcode,
    "nested": nested,
    "defaults": defaults,
    "byauthor": by_author,
    "page": page,
    "pages": pages,
    "synced": synced,
    "password": password,
    "scheduled": scheduled,
    "draft": draft,
    "private": private,
    "revision": revision,
    "trashed": trashed,
    "sticky": sticky,
    "translated": translated,
    "excerpt": excerpt,
    "attachment": attachment,
    "withpost": with_post,
}


def plant(site: WordPressSite, names: Iterable[str] = ()) -> list[Planted]:
    """Plant some ways in a site, or all."""
    return [WAYS[name](site, name) for name in names or WAYS]
