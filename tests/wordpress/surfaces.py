"""Every way to ask a WordPress for something, as a table: one line each.

A surface is a template of an address (or a function that makes the request). Those with
``{id}``, ``{path}`` … are asked for every planted post, the others once. ``shows`` says that it
gives away what is locked where nothing withholds it: a test checks that, so that no line of
the table is idle.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from tests.support.wordpress import WordPressSite
from tests.wordpress.canaries import word
from tests.wordpress.ways import Planted

CLASSIC = {"X-Test-Theme": "classic"}
RANGE = {"Range": "bytes=0-200000"}
WIDGETS = {**CLASSIC, "X-Test-Widgets": "1"}
GOOGLE = {
    "User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "X-Forwarded-For": "66.249.66.1",
}


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    """Below the site's front page."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    form: Mapping[str, str] | None = None
    follow: bool = False
    """Whether to go where it is redirected to."""


@dataclass(frozen=True)
class Surface:
    """One line of the table."""

    name: str
    make: Callable[["Names"], Asked]
    each: bool
    """Asked for each planted post, or once."""
    shows: bool
    finds: bool = False
    """A search for the locked words: it must not even find the post."""
    same: bool = False
    """It is the same for all visitors, so that strangers are enough: another dress of a page, or
    a call that brings its own password. Dresses are asked for in the classic theme, which PHP
    makes in half the time; the page itself is in both."""


@dataclass(frozen=True)
class Names:
    """What templates of addresses can name."""

    id: int = 0
    path: str = ""
    """The post's own path, with a "?" in it where permalinks are plain."""
    secret: str = ""
    part: str = "post"
    category: int = 0
    page_id: int = 0
    """The page with blocks that list posts."""
    url: str = ""
    day: str = ""
    password: str = ""
    """Of the subscriber, for programs."""

    def with_query(self, query: str) -> str:
        """Return the post's path with a query."""
        return f"{self.path}{'&' if '?' in self.path else '?'}{query}"

    def below(self, name: str, query: str) -> str:
        """Return the path of something below the post: a folder, or a query where it is plain."""
        if "?" in self.path:
            return self.with_query(query)
        return f"{self.path.rstrip('/')}/{name}/"


def get(
    name: str,
    template: str,
    *,
    shows: bool = True,
    finds: bool = False,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    same: bool = False,
) -> Surface:
    """Return a surface that is an address."""
    each = re.search(r"\{(id|path|secret|part)\b", template) is not None
    return Surface(
        name,
        lambda names: Asked(template.format(**vars(names)), method, headers or {}, follow=not each),
        each,
        shows,
        finds,
        same,
    )


def rest(
    name: str, path: str, query: str = "", *, shows: bool = True, finds: bool = False
) -> Surface:
    """Return a surface of the REST API, in the form that works without pretty permalinks."""
    address = f"?rest_route=/{path}{'&' if query else ''}{query}"
    return get(name, address, shows=shows, finds=finds)


def xmlrpc(name: str, method: str, *values: str, each: bool = True) -> Surface:
    """Return a call as a subscriber would make it; each value is "int:{id}" or "text"."""

    def make(names: Names) -> Asked:
        filled = [value.format(**vars(names)) for value in values]
        body = "".join(f"<param><value>{_value(text)}</value></param>" for text in filled)
        call = f"<methodName>{method}</methodName><params>{body}</params>"
        text = f'<?xml version="1.0"?><methodCall>{call}</methodCall>'
        return Asked("xmlrpc.php", "POST", {"Content-Type": "text/xml"}, text)

    return Surface(name, make, each, shows=False, same=True)


def _value(text: str) -> str:
    kind, _, value = text.partition(":")
    return f"<int>{value}</int>" if kind == "int" else f"<string>{escape(text)}</string>"


def _below(name: str, folder: str, query: str, *, shows: bool = True) -> Surface:
    def make(names: Names) -> Asked:
        return Asked(names.below(folder, query), headers=CLASSIC)

    return Surface(name, make, True, shows)


def _page(name: str, query: str, *, shows: bool = True, same: bool = True) -> Surface:
    return Surface(
        name, lambda names: Asked(names.with_query(query), headers=CLASSIC), True, shows, same=same
    )


def _form(
    name: str, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Surface:
    def make(names: Names) -> Asked:
        filled = {key: value.format(**vars(names)) for key, value in form.items()}
        return Asked(path.format(**vars(names)), "POST", headers or {}, None, filled)

    return Surface(name, make, True, shows=False)


def _json(name: str, path: str, body: str) -> Surface:
    def make(names: Names) -> Asked:
        headers = {"Content-Type": "application/json"}
        sent = body.replace("ID", str(names.id)).replace("PART", names.part)
        return Asked(path.format(**vars(names)), "POST", headers, sent)

    return Surface(name, make, True, shows=False)


SURFACES: tuple[Surface, ...] = (
    # The post's own page.
    get("page", "{path}"),
    get("page, by its number", "?p={id}", shows=False, headers=CLASSIC, same=True),
    get("page, HEAD", "{path}", method="HEAD", shows=False, headers=CLASSIC, same=True),
    get("page, a part of it", "{path}", headers={**CLASSIC, **RANGE}, same=True),
    get("page, in a classic theme", "{path}", headers=CLASSIC),
    get(
        "page, for a crawler that nobody verified",
        "{path}",
        headers={**CLASSIC, **GOOGLE},
        same=True,
    ),
    _page("page, as a preview", "preview=true", same=False),
    _page("page, for print", "print=1"),
    _page("page, as AMP", "amp=1"),
    _page("page, a query that caches ignore", "utm_source=x"),
    _below("page, the second of several", "2", "page=2"),
    _below("page, embedded", "embed", "embed=true"),
    _below("feed of its comments", "feed", "feed=rss2", shows=False),
    _page("feed of the post alone", "feed=rss2&withoutcomments=1"),
    _page("feed of the post alone, Atom", "feed=atom&withoutcomments=1"),
    get("attachment page", "?attachment_id={id}", shows=False, headers=CLASSIC),
    _below("trackback", "trackback", "tb=1", shows=False),
    # Lists of posts, in the block theme and in the classic one.
    get("front page", "?posts_per_page=100", shows=False),
    get("front page, in a classic theme", "", headers=CLASSIC),
    get("front page, second page", "?paged=2", headers=CLASSIC, shows=False),
    get("archive of a category", "?cat={category}", headers=CLASSIC),
    get("archive of an author", "?author=1", headers=CLASSIC),
    get("archive of an author, in the block theme", "?author=1", shows=False),
    get("archive of a day", "?m={day}", headers=CLASSIC),
    get("page with a query block and others", "?page_id={page_id}"),
    get("widgets beside an empty search", "?s=qqqqq", headers=WIDGETS),
    # Feeds.
    get("feed, RSS 2", "?feed=rss2"),
    get("feed, Atom", "?feed=atom"),
    get("feed, RDF", "?feed=rdf", shows=False),
    get("feed, RSS 0.92", "?feed=rss", shows=False),
    get("feed of a category", "?feed=rss2&cat={category}"),
    get("feed of an author", "?feed=atom&author=1"),
    get("feed of comments", "?feed=comments-rss2", shows=False),
    get("feed of comments, Atom", "?feed=comments-atom", shows=False),
    # REST.
    rest("REST, posts", "wp/v2/posts", "per_page=100"),
    rest("REST, posts, their content alone", "wp/v2/posts", "per_page=100&_fields=content"),
    rest("REST, posts, excerpts alone", "wp/v2/posts", "per_page=100&_fields=id,excerpt"),
    rest("REST, posts, embedded", "wp/v2/posts", "per_page=100&context=embed", shows=False),
    rest("REST, posts to edit", "wp/v2/posts", "per_page=100&context=edit", shows=False),
    rest("REST, any status", "wp/v2/posts", "status=draft,future,private,trash", shows=False),
    rest("REST, pages", "wp/v2/pages", "per_page=100"),
    rest("REST, media", "wp/v2/media", "per_page=100", shows=False),
    rest("REST, synced patterns", "wp/v2/blocks", "per_page=100", shows=False),
    rest("REST, comments", "wp/v2/comments", "per_page=100&_embed=1", shows=False),
    rest("REST, categories with posts", "wp/v2/categories", "_embed=1", shows=False),
    rest("REST, JSONP", "wp/v2/posts", "per_page=100&_jsonp=x"),
    rest("REST, in an envelope", "wp/v2/posts", "per_page=100&_envelope=1&_embed=1"),
    rest("REST, one post", "wp/v2/posts/{id}"),
    rest("REST, one page", "wp/v2/pages/{id}", shows=False),
    rest("REST, one post to edit", "wp/v2/posts/{id}", "context=edit", shows=False),
    rest("REST, one post with a password", "wp/v2/posts/{id}", "password=wrong", shows=False),
    rest("REST, revisions", "wp/v2/posts/{id}/revisions", shows=False),
    rest("REST, autosaves", "wp/v2/posts/{id}/autosaves", shows=False),
    rest("REST, one medium", "wp/v2/media/{id}", shows=False),
    rest("REST, one synced pattern", "wp/v2/blocks/{id}", shows=False),
    rest(
        "REST, a block made by the server",
        "wp/v2/block-renderer/core/post-content",
        "context=edit&post_id={id}",
        shows=False,
    ),
    Surface(
        "oEmbed",
        lambda names: Asked(f"?rest_route=/oembed/1.0/embed&url={names.url}"),
        True,
        shows=False,
    ),
    Surface(
        "oEmbed, as XML",
        lambda names: Asked(f"?rest_route=/oembed/1.0/embed&format=xml&url={names.url}"),
        True,
        shows=False,
    ),
    # Searches for what is locked: already that it is found tells something.
    get("search, for locked words", "?s={secret}", finds=True, headers=CLASSIC),
    get("search in a feed, for locked words", "?s={secret}&feed=rss2", finds=True),
    rest("REST, posts, for locked words", "wp/v2/posts", "search={secret}", finds=True),
    rest("REST, search, for locked words", "wp/v2/search", "search={secret}", finds=True),
    rest("REST, search, embedded", "wp/v2/search", "search={secret}&_embed=1", finds=True),
    get("search, by a piece of a word", "?s={secret:.7}", finds=True, headers=CLASSIC),
    # Others.
    get("sitemap of posts", "?sitemap=posts&sitemap-subtype=post&paged=1", shows=False),
    get("sitemap of pages", "?sitemap=posts&sitemap-subtype=page&paged=1", shows=False),
    get("links", "wp-links-opml.php", shows=False),
    get("wp-admin, to edit", "wp-admin/post.php?post={id}&action=edit", shows=False),
    get("wp-admin, list of posts", "wp-admin/edit.php?post_type=post", shows=False),
    get("wp-admin, list with excerpts", "wp-admin/edit.php?mode=excerpt", shows=False),
    get("wp-admin, media", "wp-admin/upload.php", shows=False),
    get("wp-admin, export", "wp-admin/export.php?download=true&content=all", shows=False),
    get("wp-admin, leak test", "wp-admin/tools.php?page=bitcache-leak-test", shows=False),
    get("wp-admin, settings", "wp-admin/admin.php?page=bitcache", shows=False),
    _form("AJAX, media", "wp-admin/admin-ajax.php", {"action": "query-attachments"}),
    _form("AJAX, links", "wp-admin/admin-ajax.php", {"action": "wp-link-ajax", "search": "Title"}),
    _form(
        "AJAX, one attachment",
        "wp-admin/admin-ajax.php",
        {"action": "get-attachment", "id": "{id}"},
    ),
    _form(
        "AJAX, inline edit", "wp-admin/admin-ajax.php", {"action": "inline-save", "post_ID": "{id}"}
    ),
    xmlrpc("XML-RPC, a post", "wp.getPost", "int:1", "subscriber", "{password}", "int:{id}"),
    xmlrpc("XML-RPC, MetaWeblog", "metaWeblog.getPost", "int:{id}", "subscriber", "{password}"),
    xmlrpc("XML-RPC, posts", "wp.getPosts", "int:1", "subscriber", "{password}", each=False),
    xmlrpc("XML-RPC, media", "wp.getMediaLibrary", "int:1", "subscriber", "{password}", each=False),
    xmlrpc(
        "XML-RPC, revisions",
        "wp.getRevisions",
        "int:1",
        "subscriber",
        "{password}",
        "int:{id}",
    ),
    # The plugin's own.
    _json("content route", "?rest_route=/bitcache/v1/content", '{"post":ID,"part":"PART"}'),
    _json(
        "content route, by query", "?rest_route=/bitcache/v1/content&post={id}&part={part}", "{}"
    ),
    _json(
        "content route, a forged grant",
        "?rest_route=/bitcache/v1/content",
        '{"post":ID,"part":"PART","grant":"e30.AAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}',
    ),
    _json(
        "content route, another's grant",
        "?rest_route=/bitcache/v1/content",
        '{"post":ID,"part":"PART","grant":"GRANT"}',
    ),
    rest("content route, GET", "bitcache/v1/content", "post={id}&part={part}", shows=False),
    _json("item route", "?rest_route=/bitcache/v1/item", '{"post":ID,"part":"PART"}'),
    _form("reading page", "?bitcache_read={id}", {"grant": ""}),
    _form("reading page, another's grant", "?bitcache_read={id}", {"grant": "GRANT"}, CLASSIC),
    get("reading page, GET", "?bitcache_read={id}", shows=False),
    get("a file, unsigned", "?bitcache_file={id}&size=full", shows=False, headers=CLASSIC),
    get(
        "a file, badly signed",
        "?bitcache_file={id}&size=full&until=4102444800&sig=" + "0" * 64,
        shows=False,
        headers=CLASSIC,
    ),
)

#: Asked for each file of what was planted.
FILE = Surface("file, by its old address", lambda names: Asked(names.path), True, True)
FILE_RANGE = Surface("file, a range of it", lambda names: Asked(names.path), True, True)


def asked_of(
    site: WordPressSite, planted: list[Planted], shared: Names
) -> Iterator[tuple[Surface, Planted | None, Asked]]:
    """Give every request of the table, with the post that it is about, if it is about one."""
    base = site.url + "/"
    paths = {one.post_id: site.permalink(one.post_id) for one in planted}
    for surface in SURFACES:
        if not surface.each:
            yield surface, None, surface.make(shared)
            continue
        for one in planted:
            url = paths[one.post_id]
            names = Names(
                id=one.post_id,
                path=url.removeprefix(base),
                secret=word(one.way),
                part=one.part,
                category=shared.category,
                page_id=shared.page_id,
                url=url,
                day=shared.day,
                password=shared.password,
            )
            yield surface, one, surface.make(names)
    for one in planted:
        for number, url in enumerate(one.files):
            path = url.removeprefix(base)
            yield FILE, one, Asked(path)
            if number == 0:
                yield FILE_RANGE, one, Asked(path, headers={"Range": "bytes=100-90000"})
