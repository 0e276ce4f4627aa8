"""What the plugin adds to the pages of a WordPress: time, queries and bytes; and a grant check.

The same pages are asked for in turns with the plugin and without it, at one server. The time is
that of the processor, from where WordPress begins to load plugins to the end of the page. What
is added is the median of the differences of neighbours, with its standard error: pages on a
machine that is shared differ from one minute to the next by much more than the plugin adds.
"""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bitcache_server.models import migrate
from tests.bench.table import Row
from tests.support.wordpress import NEWEST, WordPresses, WordPressSite
from tests.wordpress.articles import PAID, PAYWALL, TEASER
from tests.wordpress.shop import WordPressShop
from tests.wordpress.ways import PRICE, p

WITH, WITHOUT = "with", "without"
CHECKS = 5_000
#: More posts than a theme lists below an article.
RECENT = 12
_COST = re.compile(rb"\n<!-- cost (\d+) (\d+) -->$")
_CHECK = """
$grant = $input['grant']; $item = $input['item']; $now = time(); $n = $input['n'];
if ( null === \\Bitcache\\Access\\Grants::check( $grant, $item, $now ) ) { return array( 0, 0 ); }
$began = hrtime( true );
for ( $i = 0; $i < $n; $i++ ) { \\Bitcache\\Access\\Grants::check( $grant, $item, $now ); }
$ours = hrtime( true ) - $began;
$began = hrtime( true );
for ( $i = 0; $i < $n; $i++ ) {
	$key = hash_hmac( 'sha256', 'purpose', 'secret', true );
	hash_equals( hash_hmac( 'sha256', $grant, $key ), $grant );
}
return array( $ours / $n / 1000, ( hrtime( true ) - $began ) / $n / 1000 );
"""


@dataclass(frozen=True)
class Cost:
    """Of one page, once."""

    cpu_us: float
    queries: float
    size: float
    """Bytes."""


def measure(seconds: float) -> Sequence[Row]:
    """Measure pages with a wall and without one, and the check of a grant."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:-1] or cores)
    wordpresses = WordPresses()
    try:
        # A process that moves between cores, or shares one, takes half as long again at times.
        os.sched_setaffinity(0, cores[-1:])
        site = wordpresses.fresh(version=NEWEST, server="php-one")
        os.sched_setaffinity(0, cores[:-1] or cores)
        with TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/bench.db"
            migrate.upgrade(url)
            shop = WordPressShop(Path(folder), url)
            try:
                shop.connect(site)
                return _measured(site, shop, seconds)
            finally:
                shop.stop()
                site.stop()
    finally:
        wordpresses.stop()
        os.sched_setaffinity(0, cores)


def _measured(site: WordPressSite, shop: WordPressShop, seconds: float) -> list[Row]:
    wall = site.create_post(p(TEASER) + PAYWALL + p(PAID), post_title="A wall", meta_input=PRICE)
    item = shop.item_of(site, wall)
    teaser = site.create_post(p(TEASER), post_title="A wall")
    plain = site.create_post(p(TEASER) + p(PAID), post_title="Plain")
    urls = {name: site.permalink(one) for name, one in (("w", wall), ("t", teaser), ("p", plain))}
    # What stands without a wall is the teaser alone, in a post of its own.
    with_wall = _compare(site, (urls["w"], WITH), (urls["t"], WITHOUT), seconds)
    # The theme lists the latest posts below an article: first the one with a wall is among them.
    with_list = _compare(site, (urls["p"], WITH), (urls["p"], WITHOUT), seconds)
    for number in range(RECENT):
        site.create_post(p(TEASER) + p(PAID), post_title=f"Recent {number}")
    # What is added is less than what neighbouring pages differ by: it takes more of them.
    with_none = _compare(site, (urls["p"], WITH), (urls["p"], WITHOUT), 4 * seconds)
    grant = shop.buy(item)
    check_us, hmac_us = site.eval(_CHECK, grant=grant, item=item, n=CHECKS)
    return [
        _time("A page with a wall", with_wall, "< 3 ms more"),
        _time("A page without one", with_none, "< 0.3 ms more"),
        _time("A page without one that lists one", with_list, "stated"),
        _count("Queries, a page with a wall", with_wall, "queries", "at most 1 more"),
        _count("Queries, a page without one", with_none, "queries", "none more"),
        _count("Queries, a page that lists one", with_list, "queries", "at most 1 more"),
        _count("Bytes, a page with a wall", with_wall, "size", "stated"),
        _count("Bytes, a page without one", with_none, "size", "none more"),
        Row(
            "A grant check in PHP",
            f"{check_us:.1f} µs",
            f"{hmac_us:.1f} µs for two HMACs",
            check_us / hmac_us,
            "< 50 µs",
        ),
    ]


def _compare(
    site: WordPressSite, ours: tuple[str, str], other: tuple[str, str], seconds: float
) -> list[tuple[Cost, Cost]]:
    """Ask for two pages in turns."""
    for address in (ours, other) * 8:
        _ask(site, *address)
    pairs: list[tuple[Cost, Cost]] = []
    ends_at = time.monotonic() + 8 * seconds
    while time.monotonic() < ends_at or len(pairs) < 40:
        if len(pairs) % 2:
            first = _ask(site, *ours)
            pairs.append((first, _ask(site, *other)))
        else:
            second = _ask(site, *other)
            pairs.append((_ask(site, *ours), second))
    return pairs


def _ask(site: WordPressSite, url: str, cost: str) -> Cost:
    body = site.http.get(url, headers={"X-Test-Cost": cost}).raise_for_status().content
    found = _COST.search(body)
    if found is None:
        raise RuntimeError(f"{url} does not say what it cost.")
    return Cost(int(found[1]), int(found[2]), found.start())


def _time(what: str, pairs: list[tuple[Cost, Cost]], budget: str) -> Row:
    differences = sorted(ours.cpu_us - other.cpu_us for ours, other in pairs)
    added = median(differences)
    # Of a median, from the middle half of what was seen.
    middle = differences[len(pairs) * 3 // 4] - differences[len(pairs) // 4]
    error = 1.2533 * middle / 1.349 / len(pairs) ** 0.5
    bare = median(other.cpu_us for _, other in pairs)
    return Row(
        what,
        f"{added / 1000:+.2f} ms (± {error / 1000:.2f})",
        f"{bare / 1000:.1f} ms without the plugin",
        (bare + added) / bare,
        budget,
    )


def _count(what: str, pairs: list[tuple[Cost, Cost]], name: str, budget: str) -> Row:
    ours, other = (median(getattr(pair[place], name) for pair in pairs) for place in (0, 1))
    figure = f"{ours:,.0f} ({ours - other:+,.0f})"
    return Row(what, figure, f"{other:,.0f} without the plugin", ours / other, budget)
