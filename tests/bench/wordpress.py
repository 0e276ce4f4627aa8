"""What the plugin adds to the pages of a WordPress: time, queries and bytes; and a grant check.

The same pages are asked for in turns with the plugin and without it, at one server. The time is
that of the processor, from where WordPress begins to load plugins to the end of the page; what
is printed of it is the median.
"""

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
    """Medians of one page."""

    cpu_us: float
    queries: float
    size: float
    """Bytes."""


def measure(seconds: float) -> Sequence[Row]:
    """Measure pages with a wall and without one, and the check of a grant."""
    wordpresses = WordPresses()
    try:
        site = wordpresses.fresh(version=NEWEST, server="php-steady")
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


def _measured(site: WordPressSite, shop: WordPressShop, seconds: float) -> list[Row]:
    wall = site.create_post(p(TEASER) + PAYWALL + p(PAID), post_title="A wall", meta_input=PRICE)
    item = shop.item_of(site, wall)
    teaser = site.create_post(p(TEASER), post_title="A wall")
    plain = site.create_post(p(TEASER) + p(PAID), post_title="Plain")
    urls = {name: site.permalink(one) for name, one in (("w", wall), ("t", teaser), ("p", plain))}
    # What stands without a wall is the teaser alone, in a post of its own.
    ours, bare = _compare(site, (urls["w"], WITH), (urls["t"], WITHOUT), seconds)
    on, off = _compare(site, (urls["p"], WITH), (urls["p"], WITHOUT), seconds)
    grant = shop.buy(item)
    check_us, hmac_us = site.eval(_CHECK, grant=grant, item=item, n=CHECKS)
    return [
        _time("A page with a wall", ours, bare, 3.0),
        _time("A page without one", on, off, 0.3),
        _count("Queries, a page with a wall", ours.queries, bare.queries, "at most 1 more"),
        _count("Queries, a page without one", on.queries, off.queries, "none more"),
        _count("Bytes, a page with a wall", ours.size, bare.size, "stated"),
        _count("Bytes, a page without one", on.size, off.size, "none more"),
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
) -> tuple[Cost, Cost]:
    """Ask for two pages in turns."""
    seen: tuple[list[Cost], list[Cost]] = ([], [])
    for address in (ours, other) * 8:
        _ask(site, *address)
    ends_at = time.monotonic() + 2 * seconds
    while time.monotonic() < ends_at or len(seen[0]) < 40:
        for place, address in enumerate((ours, other)):
            seen[place].append(_ask(site, *address))
    return _medians(seen[0]), _medians(seen[1])


def _ask(site: WordPressSite, url: str, cost: str) -> Cost:
    body = site.http.get(url, headers={"X-Test-Cost": cost}).raise_for_status().content
    found = _COST.search(body)
    if found is None:
        raise RuntimeError(f"{url} does not say what it cost.")
    return Cost(int(found[1]), int(found[2]), found.start())


def _medians(costs: list[Cost]) -> Cost:
    return Cost(
        median(cost.cpu_us for cost in costs),
        median(cost.queries for cost in costs),
        median(cost.size for cost in costs),
    )


def _time(what: str, ours: Cost, other: Cost, budget_ms: float) -> Row:
    added = (ours.cpu_us - other.cpu_us) / 1000
    return Row(
        what,
        f"{ours.cpu_us / 1000:.2f} ms ({added:+.2f} ms)",
        f"{other.cpu_us / 1000:.2f} ms without the plugin",
        ours.cpu_us / other.cpu_us,
        f"< {budget_ms:g} ms more",
    )


def _count(what: str, ours: float, other: float, budget: str) -> Row:
    figure = f"{ours:,.0f} ({ours - other:+,.0f})"
    return Row(what, figure, f"{other:,.0f} without the plugin", ours / other, budget)
