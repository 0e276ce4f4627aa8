"""Nothing that costs is given away: every public surface against every way of locking.

The table's lines are in ``surfaces.py`` and ``ways.py``; a machine looks for what was planted.
"""

import shutil
from collections.abc import Iterator

import pytest

from tests.support.databases import Databases
from tests.support.wordpress import NEWEST, VERSIONS, WordPresses, WordPressSite
from tests.wordpress.caches import STAND_INS
from tests.wordpress.matrix import STRANGER, Matrix, another_post, asker, prepared
from tests.wordpress.shop import WordPressShop
from tests.wordpress.surfaces import FILE, FILE_RANGE, SURFACES


def with_translator(site: WordPressSite) -> WordPressSite:
    shutil.copy(STAND_INS / "translator.php", site.content / "mu-plugins")
    return site


@pytest.fixture(scope="module", params=VERSIONS)
def matrix(
    request: pytest.FixtureRequest,
    wordpresses: WordPresses,
    databases: Databases,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Matrix]:
    # Its files do not change: PHP need not look whether they did.
    site = with_translator(wordpresses.fresh(version=request.param, server="php-steady"))
    with databases.fresh("sqlite") as url:
        shop = WordPressShop(tmp_path_factory.mktemp("shop"), url)
        shop.connect(site)
        made = prepared(site)
        bought = another_post(site)
        made.grant = shop.buy(shop.item_of(site, bought))
        made.bought = bought
        yield made
        complaints = site.complaints()
        site.stop()
        shop.stop()
    assert complaints == []


def test_strangers_see_nothing(matrix: Matrix) -> None:
    with asker(matrix.site) as ask:
        filled = matrix.fill(STRANGER, ask)
    assert filled.leaks == []
    assert filled.broken == []
    # It is the wall that hides it, not an empty page.
    assert len(filled.seen["page"]) >= 10
    assert len(filled.seen["feed, RSS 2"]) >= 10
    assert len(filled.seen["REST, posts"]) >= 10


def test_subscribers_see_nothing(matrix: Matrix) -> None:
    client = matrix.site.logged_in("subscriber")
    with asker(matrix.site, client, "subscriber") as ask:
        filled = matrix.fill("subscriber", ask)
    assert filled.leaks == []
    assert filled.broken == []


def test_buyers_see_only_what_they_bought(matrix: Matrix) -> None:
    client = matrix.site.client()
    answer = client.post(
        "?rest_route=/bitcache/v1/content", json={"post": matrix.bought, "grant": matrix.grant}
    )
    assert "What the buyer has." in answer.json()["html"]
    with asker(matrix.site, client) as ask:
        filled = matrix.fill("buyer", ask)
    assert filled.leaks == []
    assert filled.broken == []


def test_every_line_of_the_table_finds_what_is_not_withheld(wordpresses: WordPresses) -> None:
    """Without the plugin each surface that is said to show what is locked does show it."""
    site = with_translator(wordpresses.fresh(version=NEWEST, plugin=False, server="php-steady"))
    # A few ways are enough: it is about the surfaces.
    matrix = prepared(site, ("block", "page", "pages", "attachment"))
    with asker(site) as ask:
        filled = matrix.fill(STRANGER, ask, lambda surface: surface.shows)
    site.stop()
    shown = {surface.name for surface in (*SURFACES, FILE, FILE_RANGE) if surface.shows}
    assert sorted(shown - filled.surfaces()) == []
