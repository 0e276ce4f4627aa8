"""Fills the table of surfaces and ways: who asks, what they ask for, and what they see."""

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.support.wordpress import WordPressSite
from tests.wordpress.canaries import Finder, word
from tests.wordpress.surfaces import Asked, Names, Surface, asked_of
from tests.wordpress.ways import PRICE, Planted, p, plant

#: As many as the server has processes: more would only wait there.
THREADS = 4
STRANGER = "stranger"
_WIDGETS = """
foreach ( $input['widgets'] as $name => $widget ) {
	update_option( 'widget_' . $name, array( 2 => $widget, '_multiwidget' => 1 ) );
}
update_option( 'sidebars_widgets', array( 'side' => array( 'block-2', 'recent-posts-2', 'rss-2' ),
	'wp_inactive_widgets' => array(), 'array_version' => 3 ) );
"""
_COMMENTS = """
foreach ( $input['ids'] as $id ) {
	wp_insert_comment( array( 'comment_post_ID' => $id, 'comment_approved' => 1,
		'comment_content' => 'Well said.', 'comment_author' => 'Bob' ) );
}
"""
#: Blocks that list posts, with as much of them as each can show.
_LISTS = """
<!-- wp:query {"queryId":1,"query":{"perPage":50,"postType":"post","inherit":false}} -->
<div class="wp-block-query"><!-- wp:post-template -->
<!-- wp:post-title {"isLink":true} /--><!-- wp:post-content /--><!-- wp:post-excerpt /-->
<!-- wp:post-featured-image /--><!-- /wp:post-template --></div>
<!-- /wp:query -->
<!-- wp:latest-posts {"postsToShow":50,"displayPostContent":true,
"displayPostContentRadio":"full_post","displayFeaturedImage":true} /-->
<!-- wp:latest-posts {"postsToShow":50,"displayPostContent":true,"excerptLength":90} /-->
<!-- wp:latest-comments /-->
"""
_RSS = '<!-- wp:rss {{"feedURL":"{feed}","itemsToShow":20,"displayExcerpt":true}} /-->'


@dataclass(frozen=True)
class Leak:
    """A cell of the table that should be empty."""

    surface: str
    way: str
    who: str
    how: str


@dataclass
class Matrix:
    """A site with everything planted, and what was found in it."""

    site: WordPressSite
    planted: list[Planted]
    shared: Names
    grant: str = ""
    """Opens another post than those that were planted."""
    bought: int = 0
    """The post that it opens."""

    def fill(
        self,
        who: str,
        ask: Callable[[Asked], httpx.Response],
        wanted: Callable[[Surface], bool] = lambda surface: True,
    ) -> "Filled":
        """Ask for everything that is wanted; return what should not have been seen."""
        filled = Filled(self.planted, who)
        cells = [
            cell
            for cell in asked_of(self.site, self.planted, self.shared)
            if wanted(cell[0]) and (who == STRANGER or not cell[0].same)
        ]
        with ThreadPoolExecutor(THREADS) as pool:
            answers = pool.map(ask, (self._with_grant(asked) for _, _, asked in cells))
            for (surface, one, asked), answer in zip(cells, answers, strict=True):
                filled.look(surface, one, asked, answer)
        return filled

    def _with_grant(self, asked: Asked) -> Asked:
        body = asked.body and asked.body.replace("GRANT", self.grant)
        form = asked.form and {k: v.replace("GRANT", self.grant) for k, v in asked.form.items()}
        return dataclasses.replace(asked, body=body, form=form)


class Filled:
    """The table as one visitor filled it."""

    def __init__(self, planted: Iterable[Planted], who: str) -> None:
        self.leaks: list[Leak] = []
        self.broken: list[str] = []
        """What was answered with an error of the server."""
        self.seen: dict[str, set[str]] = {}
        """Surface to the ways whose public words it shows."""
        self._planted = list(planted)
        self._who = who
        self._finder = Finder([one.canary for one in self._planted])

    def look(
        self, surface: Surface, one: Planted | None, asked: Asked, answer: httpx.Response
    ) -> None:
        """Note what an answer shows."""
        # WordPress says 500 as well where it means 403, and then it says why.
        if answer.status_code >= 500 and b"not allowed" not in answer.content:
            self.broken.append(f"{surface.name}, {one and one.way}: {answer.status_code}")
        headers = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        body = headers.encode() + answer.content
        if surface.finds:
            assert one is not None
            if one.title.encode() in body:
                self.leaks.append(Leak(surface.name, one.way, self._who, "it was found"))
            # It says what was searched for, with every right.
            body = body.replace(word(one.way).encode(), b"").replace(
                word(one.way)[:7].encode(), b""
            )
        for way, how in self._finder.find(body).items():
            self.leaks.append(Leak(surface.name, way, self._who, f"{asked.path} {how}"))
        for planted in self._planted:
            if planted.public.encode() in body:
                self.seen.setdefault(surface.name, set()).add(planted.way)

    def surfaces(self) -> set[str]:
        """Return the names of the surfaces that leak."""
        return {leak.surface for leak in self.leaks}


def prepared(site: WordPressSite, ways: Iterable[str] = ()) -> Matrix:
    """Plant some ways (or all) in a site, and put them into lists, widgets and blocks."""
    site.option("posts_per_page", 100)
    site.option("posts_per_rss", 100)
    planted = plant(site, ways)
    feed = f"{site.url}/?feed=rss2"
    rss = _RSS.format(feed=feed)
    shown = {"items": 20, "show_summary": 1, "show_author": 1, "show_date": 1}
    widgets = {
        "block": {"content": _LISTS + rss},
        "recent-posts": {"number": 50},
        "rss": {"title": "Elsewhere", "url": feed, **shown},
    }
    site.eval(_WIDGETS, widgets=widgets)
    page_id = site.create_post(_LISTS + rss, post_type="page", post_title="Lists")
    site.eval(_COMMENTS, ids=[one.post_id for one in planted])
    category = site.eval("return (int) get_option( 'default_category' );")
    day = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
    names = Names(
        category=category, page_id=page_id, day=day, password=site.passwords["subscriber"]
    )
    return Matrix(site, planted, names)


def another_post(site: WordPressSite) -> int:
    """Return a post that is none of those that were planted, for a buyer of something else."""
    content = p("A teaser.") + "<!-- wp:bitcache/paywall /-->\n\n" + p("What the buyer has.")
    return site.create_post(content, post_title="Bought", meta_input=PRICE)


@contextmanager
def asker(
    site: WordPressSite, client: httpx.Client | None = None, user: str = ""
) -> Iterator[Callable[[Asked], httpx.Response]]:
    """Give what asks as a visitor: with the client's cookies, and over REST as the user.

    Without a client it is a stranger.
    """
    client = client or site.client()
    api = site.client()
    if user:
        api.auth = (user, site.passwords[user])

    def ask(asked: Asked) -> httpx.Response:
        over = api if user and "rest_route" in asked.path else client
        content = asked.body.encode() if asked.body is not None else None
        return over.request(
            asked.method,
            asked.path,
            headers=dict(asked.headers),
            content=content,
            data=asked.form,
            follow_redirects=asked.follow,
        )

    try:
        yield ask
    finally:
        client.close()
        api.close()
