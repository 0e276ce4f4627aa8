"""The page caches of the tests, and what empties them."""

import shutil
from pathlib import Path

from tests.support.wordpress import WordPressSite

STAND_INS = Path(__file__).with_name("stand_ins")
POLITE = "nginx-polite"
GREEDY = "nginx-greedy"
DROP_IN = "drop-in"


def server_of(kind: str) -> str:
    """Return the kind of server that a site with this cache needs."""
    return "php" if kind == DROP_IN else kind


def with_cache(site: WordPressSite, kind: str) -> None:
    """Switch the cache on, where it is no part of the server."""
    if kind == DROP_IN:
        shutil.copy(STAND_INS / "advanced-cache.php", site.content)
        config = site.home / "wp-config.php"
        config.write_text(config.read_text().replace("<?php", "<?php define('WP_CACHE', true);"))


def empty_on_change(site: WordPressSite, wanted: bool) -> None:
    """Let the cache be emptied whenever a post changes, or let it keep its pages."""
    path = site.content / "mu-plugins" / "purge.php"
    if wanted:
        shutil.copy(STAND_INS / path.name, path)
    else:
        path.unlink(missing_ok=True)
