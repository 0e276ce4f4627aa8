"""The file that people install: always the same bytes, complete, and nothing besides."""

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support.wordpress import VERSIONS, WordPresses
from tests.support.wordpress_zip import PLUGIN, ROOT, version, write_zip
from tests.wordpress.articles import PAID, PAYWALL, TEASER
from tests.wordpress.ways import PRICE, p

#: Leave a trace wherever the plugin can; what follows a price would write when it is taken away.
EVERYTHING = """
update_option( 'bitcache_settings', array( 'keep_sales' => false, 'default_price' => '0.05' ) );
update_user_meta( 1, 'bitcache_price', '0.09' );
update_term_meta( 1, 'bitcache_price', '0.07' );
update_user_meta( 1, '_bitcache_connect_1', array( 'until' => 1 ) );
update_option( 'woocommerce_bitcache_settings', array( 'enabled' => 'no' ) );
set_transient( 'bitcache_flash_1', array( 'kind' => 'error' ), 600 );
do_action( 'bitcache_index', 0 );
$path = wp_upload_bits( 'sold.txt', null, 'hello' )['file'];
$file = array( 'post_mime_type' => 'text/plain', 'post_title' => 'x', 'post_status' => 'inherit' );
$id   = wp_insert_attachment( $file, $path );
update_post_meta( $id, '_bitcache_price', '0.10' );
return array( $path, get_attached_file( $id ) );
"""
META = """
foreach ( array( $wpdb->postmeta, $wpdb->termmeta, $wpdb->usermeta ) as $table ) {
    $found[] = $wpdb->get_col( "SELECT meta_key FROM $table WHERE meta_key LIKE '%bitcache%'" );
}
return array_merge( ...$found );
"""


def test_it_is_the_same_twice(tmp_path: Path) -> None:
    first = write_zip(tmp_path / "a").read_bytes()
    other = tmp_path / "another folder"
    shutil.copytree(PLUGIN, other / "plugins" / "wordpress", copy_function=shutil.copy)
    for path in ("Makefile", "tests/__init__.py", "tests/support/wordpress_zip.py"):
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, other / path)
    said = subprocess.run(
        ["make", "--no-print-directory", "plugin"], cwd=other, umask=0o077, check=True,
        env={**os.environ, "TZ": "Pacific/Apia", "LC_ALL": "C", "MAKEFLAGS": ""},
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert Path(said.strip()) == other / "dist" / f"bitcache-wordpress-{version()}.zip"
    assert Path(said.strip()).read_bytes() == first


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
    [path, private] = site.eval(EVERYTHING)
    assert not Path(path).exists()
    assert Path(private).is_file()
    site.cli("plugin", "uninstall", "bitcache", "--deactivate")
    assert not (site.content / "plugins" / "bitcache").exists()
    assert site.eval(f"global $wpdb; {tables}") == []
    assert site.eval(f"global $wpdb; {options}") == []
    assert site.eval(f"global $wpdb; {META}") == []
    assert "bitcache" not in str(site.option("cron"))
    assert Path(path).read_text() == "hello"
    assert [found for found in site.run.rglob("*") if "bitcache-private" in str(found)] == []
    complaints = site.complaints()
    site.stop()
    assert complaints == []
