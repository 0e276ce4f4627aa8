"""Real WordPresses: each version is installed once in a test process, and copied from then on.

A site is a folder of hard links to the version's files, a database filled from a dump, and
PHP in front of it: there after about a second. The plugin is this checkout's own folder,
linked into it. Nothing goes out but to loopback (``wordpress_files/mu-plugins``).
"""

import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import free_ports
from tests.support.wordpress_database import PASSWORD, USER, MariaDb, remove_left_behind
from tests.support.wordpress_servers import (
    PHP_OPTIONS,
    WORKERS,
    Server,
    php_without,
    serve_apache,
    serve_nginx,
    serve_php,
)

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "wordpress"
CACHE = ROOT / ".cache" / "wordpress"
FILES = Path(__file__).with_name("wordpress_files")
VERSIONS = ("6.1", "6.5", "7.1")
NEWEST = VERSIONS[-1]
USERS = ("admin", "editor", "author", "subscriber")
HOST = "127.0.0.1"
TIMEOUT_S = 120.0
#: Stands in dumps for the port of a site; as long as one, because PHP counts bytes.
_PORT = "59999"
_KEYS = ("AUTH_KEY", "SECURE_AUTH_KEY", "LOGGED_IN_KEY", "NONCE_KEY")
_SALTS = tuple(name.replace("KEY", "SALT") for name in _KEYS)
#: What a WordPress that is older than its PHP says of itself.
_CORE_SAYS = re.compile(r"PHP Deprecated: .* in \S+/(wp-includes|wp-admin)/")


class WordPressError(RuntimeError):
    """It is not installed, or code that a test sent did not work."""


@dataclass(frozen=True)
class Layout:
    """What kind of WordPress."""

    version: str = NEWEST
    multisite: bool = False
    folder: str = ""
    """Where below the host it is, for example "/blog"."""
    permalinks: str = "pretty"
    """Or "plain"."""
    server: str = "php"
    """Or "php-steady", whose files do not change, "php-one", the same with one process,
    "apache", "nginx", or nginx with a page cache: "nginx-polite", "nginx-greedy"."""
    plugin: bool = True
    pictures: str = "gd"
    """The one library for pictures that PHP has; or "imagick"."""

    @property
    def snapshot(self) -> tuple[object, ...]:
        """Return what two layouts share that can have the same dump."""
        return (self.version, self.multisite, self.folder)


@dataclass(frozen=True)
class Snapshot:
    """A WordPress that was just installed."""

    dump: bytes
    passwords: dict[str, str]


class WordPresses:
    """Makes the sites of one test process, which share a MariaDB."""

    def __init__(self) -> None:
        if not (CACHE / ".stamp").exists():
            raise WordPressError("WordPress is not there: run .ci/setup wordpress.")
        # Beside the versions, because hard links do not reach into another file system.
        remove_left_behind(CACHE, "run-")
        self._folder = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=CACHE))
        self._folder.chmod(0o755)
        self.database = MariaDb().start()
        self._php = {
            "gd": php_without(self._folder / "php-gd", "imagick"),
            # More threads than cores make it slower.
            "imagick": php_without(self._folder / "php-imagick", "gd") | {"OMP_NUM_THREADS": "1"},
        }
        self._snapshots: dict[tuple[object, ...], Snapshot] = {}
        self._sites: dict[Layout, WordPressSite] = {}
        self._number = 0

    def site(self, **layout: Any) -> "WordPressSite":
        """Return the site of this kind that all tests of this process share."""
        wanted = Layout(**layout)
        if wanted not in self._sites:
            self._sites[wanted] = self.fresh(**layout)
        return self._sites[wanted]

    def fresh(self, **layout: Any) -> "WordPressSite":
        """Return a new site; the caller stops it, or the end of the process does."""
        wanted = Layout(**layout)
        snapshot = self._snapshots.get(wanted.snapshot)
        if snapshot is None:
            snapshot = self._snapshots[wanted.snapshot] = self._install(wanted)
        return self._made(wanted, snapshot)

    def stop(self) -> None:
        """Stop every site and remove everything."""
        for site in self._sites.values():
            site.stop()
        self.database.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _install(self, layout: Layout) -> Snapshot:
        site = self._site(Layout(layout.version, layout.multisite, layout.folder), port=int(_PORT))
        self.database.create(site.database)
        site.write_config(self.database, network=False)
        url = f"http://{HOST}:{_PORT}{layout.folder}"
        command = [str(FILES / "install.php"), str(site.home), url, "1" * layout.multisite]
        said = site.php(*command)
        dump = self.database.dump(site.database)
        self.database.drop(site.database)
        shutil.rmtree(site.run)
        return Snapshot(dump, json.loads(said.splitlines()[-1]))

    def _made(self, layout: Layout, snapshot: Snapshot) -> "WordPressSite":
        site = self._site(layout, _five_digit_port())
        site.passwords = snapshot.passwords
        dump = snapshot.dump.replace(f":{_PORT}".encode(), f":{site.port}".encode())
        self.database.create(site.database, dump)
        site.write_config(self.database, network=layout.multisite)
        site.start()
        if layout.multisite:
            # They were made before there was a network that could know of them.
            site.eval("update_site_option( 'using_application_passwords', 1 );")
        site.set_permalinks(layout.permalinks)
        if layout.plugin:
            site.activate()
        return site

    def _site(self, layout: Layout, port: int) -> "WordPressSite":
        self._number += 1
        run = self._folder / f"{self._number}-{layout.version}"
        php = self._php[layout.pictures]
        site = WordPressSite(layout, run, port, f"wp{self._number}", self.database, php)
        site.make_files()
        return site


@dataclass
class WordPressSite:
    """One running WordPress."""

    layout: Layout
    run: Path
    """Its logs, and below ``root`` what the web server serves."""
    port: int
    database: str
    maria: MariaDb
    environment: dict[str, str]
    """Of PHP."""
    passwords: dict[str, str] = field(default_factory=dict)
    """The application password of each user; the one to log in with is "NAME-pass"."""

    def __post_init__(self) -> None:
        self.origin = f"http://{HOST}:{self.port}"
        self.url = self.origin + self.layout.folder
        self.secret = secrets.token_hex(16)
        self._server: Server | None = None
        self._http: httpx.Client | None = None

    @property
    def root(self) -> Path:
        """Return the web server's document root."""
        return self.run / "root"

    @property
    def bare_origin(self) -> str:
        """Return where Apache serves the same files without reading any .htaccess."""
        assert self._server is not None
        return f"http://{HOST}:{self._server.bare_port}"

    @property
    def home(self) -> Path:
        """Return the folder of the WordPress."""
        return self.root / self.layout.folder.lstrip("/")

    @property
    def content(self) -> Path:
        """Return wp-content."""
        return self.home / "wp-content"

    @property
    def http(self) -> httpx.Client:
        """Return a client that knows nothing: no cookie, no password, no redirect followed."""
        if self._http is None:
            self._http = self.client()
        self._http.cookies.clear()
        return self._http

    def client(self, **options: Any) -> httpx.Client:
        """Return a client of its own, whose paths begin at the site's front page."""
        return httpx.Client(base_url=self.url + "/", timeout=TIMEOUT_S, trust_env=False, **options)

    def make_files(self) -> None:
        """Link the version's files; what a site writes to is copied."""
        source = CACHE / f"wp-{self.layout.version}"
        self.home.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-al", str(source), str(self.home)], check=True)
        for name in ("uploads", "plugins", "mu-plugins", "themes"):
            (self.content / name).mkdir(exist_ok=True)
        shutil.rmtree(self.content / "plugins")
        (self.content / "plugins").mkdir()
        shutil.copytree(FILES / "mu-plugins", self.content / "mu-plugins", dirs_exist_ok=True)
        shutil.copytree(FILES / "themes", self.content / "themes", dirs_exist_ok=True)
        (self.content / "plugins" / "empty").mkdir()
        (self.content / "plugins" / "empty" / "empty.php").write_text("<?php // Plugin Name: Empty")
        if self.layout.plugin:
            (self.content / "plugins" / "bitcache").symlink_to(PLUGIN)

    def write_config(self, maria: MariaDb, *, network: bool) -> None:
        """Write wp-config.php, as a person who installs WordPress does."""
        constants: dict[str, object] = {
            "DB_NAME": self.database,
            "DB_USER": USER,
            "DB_PASSWORD": PASSWORD,
            "DB_HOST": f"localhost:{maria.socket}",
            "DB_CHARSET": "utf8mb4",
            "DB_COLLATE": "",
            **{name: f"test-{name}" for name in (*_KEYS, *_SALTS)},
            # Application passwords without TLS.
            "WP_ENVIRONMENT_TYPE": "local",
            "WP_DEBUG": True,
            "WP_DEBUG_DISPLAY": False,
            "WP_DEBUG_LOG": str(self.log),
            "DISABLE_WP_CRON": True,
            "AUTOMATIC_UPDATER_DISABLED": True,
            "WP_AUTO_UPDATE_CORE": False,
            "BITCACHE_TEST_SECRET": self.secret,
            "BITCACHE_TEST_RUN": str(self.run),
        }
        if network:
            constants |= {
                "MULTISITE": True,
                "SUBDOMAIN_INSTALL": False,
                "DOMAIN_CURRENT_SITE": f"{HOST}:{self.port}",
                "PATH_CURRENT_SITE": f"{self.layout.folder}/",
                "SITE_ID_CURRENT_SITE": 1,
                "BLOG_ID_CURRENT_SITE": 1,
            }
        lines = [f"define( '{name}', {_php(value)} );" for name, value in constants.items()]
        text = "<?php\n$table_prefix = 'wp_';\n" + "\n".join(lines)
        text += "\ndefined( 'ABSPATH' ) || define( 'ABSPATH', __DIR__ . '/' );\n"
        (self.home / "wp-config.php").write_text(text + "require_once ABSPATH . 'wp-settings.php';")

    def start(self) -> None:
        """Put its web server in front of it."""
        folder = self.layout.folder
        here = (self.run, self.root, self.port, self.environment)
        if self.layout.server.startswith("nginx"):
            cache = self.layout.server.partition("-")[2]
            self._server = serve_nginx(*here, folder=folder, cache=cache)
            return
        if self.layout.server == "apache":
            self._server = serve_apache(*here, folder=folder)
            return
        environment = {**self.environment, "BITCACHE_TEST_FOLDER": folder}
        if self.layout.multisite:
            environment["BITCACHE_TEST_MULTISITE"] = "1"
        self._server = serve_php(
            *(self.run, self.root, self.port, environment),
            steady=self.layout.server != "php",
            workers=1 if self.layout.server == "php-one" else WORKERS,
        )

    def stop(self) -> None:
        """Stop serving, and remove its files and its database."""
        if self._http is not None:
            self._http.close()
            self._http = None
        if self._server is not None:
            self._server.stop()
            self._server = None
        with contextlib.suppress(RuntimeError):
            self.maria.drop(self.database)
        shutil.rmtree(self.run, ignore_errors=True)

    # What a test does with it.

    def eval(
        self, code: str, *, user: str = "admin", path: str = "", method: str = "POST", **given: Any
    ) -> Any:
        """Run PHP in it as a user, with ``$input``; return what the code returns.

        It is a request like any other, to the front page of ``path`` (a site of a network). By
        "GET" it is what other plugins do while somebody looks at a page.
        """
        body = {"code": code, "input": given, "user": USERS.index(user) + 1 if user else 0}
        headers = {"X-Test-Secret": self.secret}
        answer = httpx.request(
            method, f"{self.url}/{path}?test=1", json=body, headers=headers, timeout=TIMEOUT_S,
            trust_env=False,
        )  # fmt: skip
        try:
            said = answer.json()
        except ValueError:
            raise WordPressError(
                f"{answer.status_code} {answer.text[:2000]}{self._log()}"
            ) from None
        if "error" in said:
            raise WordPressError(said["error"])
        return said["result"]

    def php(self, *arguments: str) -> str:
        """Run PHP on the command line; return what it printed."""
        options = [f"-d{name}={value}" for name, value in PHP_OPTIONS.items()]
        done = subprocess.run(
            ["php", *options, *arguments],
            cwd=self.home,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise WordPressError(f"{done.stdout}{done.stderr}{self._log()}")
        return done.stdout

    def cli(self, *arguments: str) -> str:
        """Run wp-cli; return what it printed."""
        as_root = ["--allow-root"] if os.geteuid() == 0 else []
        where = [f"--path={self.home}", f"--url={self.url}"]
        return self.php(str(CACHE / "wp-cli.phar"), *as_root, *where, *arguments)

    def set_permalinks(self, kind: str) -> None:
        """Make them "pretty" or "plain"."""
        structure = {"pretty": "/%postname%/", "plain": ""}[kind]
        self.eval(
            "global $wp_rewrite; $wp_rewrite->set_permalink_structure( $input['structure'] );",
            structure=structure,
        )
        # In another request: in the first, WordPress has no rules of categories yet.
        self.eval("flush_rewrite_rules( true );")

    def activate(self, plugin: str = "bitcache/bitcache.php") -> None:
        """Switch the plugin on, on every site of a network."""
        problem = self.eval(
            "$e = activate_plugin( $input['plugin'], '', is_multisite() );"
            "return is_wp_error( $e ) ? $e->get_error_message() : '';",
            plugin=plugin,
        )
        if problem:
            raise WordPressError(problem)

    def create_post(self, content: str = "", **fields: Any) -> int:
        """Write a published post (or what ``fields`` say) as the admin; return its id."""
        post = {"post_status": "publish", "post_title": "A post", "post_author": 1, **fields}
        made = self.eval(
            "$id = wp_insert_post( wp_slash( $input['post'] ), true );"
            "return is_wp_error( $id ) ? $id->get_error_message() : $id;",
            post={**post, "post_content": content},
        )
        if not isinstance(made, int):
            raise WordPressError(str(made))
        return made

    def set_meta(self, post_id: int, **values: Any) -> None:
        """Set fields of a post, as ``_bitcache_price="0.05"``."""
        code = (
            "foreach ( $input['v'] as $k => $v ) { update_post_meta( $input['id'], $k, $v ); }"
            "clean_post_cache( $input['id'] );"
        )
        self.eval(code, id=post_id, v=values)

    def option(self, name: str, *value: Any) -> Any:
        """Return an option, after setting it if a value is given."""
        if value:
            self.eval("update_option( $input['n'], $input['v'] );", n=name, v=value[0])
        return self.eval("return get_option( $input['n'] );", n=name)

    def permalink(self, post_id: int) -> str:
        """Return the address of a post."""
        return str(self.eval("return get_permalink( $input['id'] );", id=post_id))

    def rest(self, method: str, path: str, user: str = "", **options: Any) -> httpx.Response:
        """Call the REST API, with the application password of a user or as a stranger."""
        headers = dict(options.pop("headers", {}))
        if user:
            pair = f"{user}:{self.passwords[user]}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        parameters = {"rest_route": "/" + path.lstrip("/"), **options.pop("params", {})}
        return self.http.request(method, "", params=parameters, headers=headers, **options)

    def logged_in(self, user: str) -> httpx.Client:
        """Return a client with the cookies of a user who logged in at the form."""
        client = self.client()
        form = {"log": user, "pwd": f"{user}-pass", "testcookie": "1"}
        client.cookies.set("wordpress_test_cookie", "WP%20Cookie%20check", domain=HOST)
        answer = client.post("wp-login.php", data=form)
        if answer.status_code != httpx.codes.FOUND:
            raise WordPressError(f"{user} could not log in: {answer.status_code}")
        return client

    @property
    def log(self) -> Path:
        """Return where WordPress writes what PHP complains of."""
        return self.run / "debug.log"

    def complaints(self) -> list[str]:
        """Return the notices, warnings and errors since the last call."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        self.log.unlink(missing_ok=True)
        return [line for line in text.splitlines() if line and not _CORE_SAYS.search(line)]

    def mails(self) -> list[dict[str, Any]]:
        """Return the mails that it sent, and forget them."""
        path = self.run / "mail.log"
        text = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in text.splitlines()]

    def _log(self) -> str:
        return "\n" + "\n".join(self.complaints()[-20:])


def _php(value: object) -> str:
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return json.dumps(value)


def _five_digit_port() -> int:
    """Return a free port that is written with as many digits as the one in the dumps."""
    ends_at = time.monotonic() + TIMEOUT_S
    while time.monotonic() < ends_at:
        [port] = free_ports(1)
        if port > 9_999:
            return port
    raise WordPressError("no free port of five digits")


@pytest.fixture(scope="session")
def wordpresses() -> Iterator[WordPresses]:
    """Return what makes the WordPresses of this test process."""
    made = WordPresses()
    yield made
    made.stop()
