"""The file that people install: always the same bytes, complete, and nothing besides."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.wordpress import VERSIONS, WordPresses
from tests.support.wordpress_zip import PLUGIN, ROOT, version, write_zip
from tests.wordpress.articles import PAID, PAYWALL, TEASER
from tests.wordpress.ways import PRICE, p


def test_it_is_the_same_twice(tmp_path: Path) -> None:
    first = write_zip(tmp_path / "a").read_bytes()
    command = [sys.executable, "-m", "tests.support.wordpress_zip", str(tmp_path / "b")]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert Path(said.strip()).read_bytes() == first
    assert Path(said.strip()).name == f"bitcache-wordpress-{version()}.zip"


def test_it_holds_what_belongs_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_zip(tmp_path)) as archive:
        names = archive.namelist()
        texts = {name: archive.read(name) for name in names}
    assert {name.split("/")[0] for name in names} == {"bitcache"}
    assert not [name for name in names if re.search(r"test|phpcs|composer|node_modules|/\.", name)]
    classes = {path.relative_to(PLUGIN).as_posix() for path in PLUGIN.glob("includes/**/*.php")}
    assert {f"bitcache/{name}" for name in classes} <= set(names)
    # What the plugin's own code and blocks name is there.
    for name, text in texts.items():
        for asset in re.findall(rb"['\"/](assets/[a-z-]+\.(?:js|css|svg))", text):
            assert f"bitcache/{asset.decode()}" in names, name


@pytest.mark.parametrize("version", VERSIONS)
def test_a_fresh_wordpress_installs_it_works_and_lets_go_of_it(
    version: str, wordpresses: WordPresses, tmp_path: Path
) -> None:
    site = wordpresses.fresh(version=version, plugin=False)
    packed = write_zip(tmp_path)
    tables = "return $wpdb->get_col( \"SHOW TABLES LIKE '%bitcache%'\" );"
    options = (
        'return $wpdb->get_col( "SELECT option_name FROM $wpdb->options'
        " WHERE option_name LIKE '%bitcache%'\" );"
    )
    site.cli("plugin", "install", str(packed), "--activate")
    assert (site.content / "plugins" / "bitcache" / "bitcache.php").is_file()
    assert site.eval(f"global $wpdb; {tables}") != []
    post = site.create_post(p(TEASER) + PAYWALL + p(PAID), meta_input=PRICE)
    seen = site.http.get(site.permalink(post)).text
    assert TEASER in seen
    assert PAID not in seen
    site.eval("update_option( 'bitcache_settings', array( 'keep_sales' => false ) );")
    site.cli("plugin", "uninstall", "bitcache", "--deactivate")
    assert not (site.content / "plugins" / "bitcache").exists()
    assert site.eval(f"global $wpdb; {tables}") == []
    assert site.eval(f"global $wpdb; {options}") == []
    complaints = site.complaints()
    site.stop()
    assert complaints == []
