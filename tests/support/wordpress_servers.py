"""What stands between a browser and a WordPress: PHP's own server, nginx or Apache with php-fpm."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.processes import free_ports

FILES = Path(__file__).with_name("wordpress_files")
DOCS = Path(__file__).parents[2] / "docs" / "wordpress.md"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
WORKERS = 4
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30

#: Compiled once for each site, and looked at again when a test changes a file.
PHP_OPTIONS = {
    "opcache.enable": "1",
    "opcache.enable_cli": "1",
    "opcache.revalidate_freq": "0",
    "opcache.memory_consumption": "96",
    "opcache.max_accelerated_files": "8000",
    "memory_limit": "256M",
    "upload_max_filesize": "32M",
    "post_max_size": "32M",
    "display_errors": "0",
}
#: Its pages are looked up in nginx' own memory first; ``X-Cache`` says which they were.
_CACHE = """
  fastcgi_cache pages; fastcgi_cache_key "$request_method$host$request_uri";
  fastcgi_cache_methods GET HEAD; fastcgi_cache_valid 200 10m;
  add_header X-Cache $upstream_cache_status always;"""
#: As many people have it, who found no other way to make their pages stay.
_GREEDY = """
  fastcgi_ignore_headers Cache-Control Expires Set-Cookie Vary;"""

#: Apache refuses to be root. It reads what root reads, wherever the checkout is.
_NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--",
)  # fmt: skip
#: Passes the end of the test process on to everything in the group: what PHP's server and
#: nginx started would outlive them.
_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")
_WATCHED = (
    *_WITH_PARENT, "sh", "-c", 'trap "trap - TERM; kill -TERM 0" TERM; "$@" & wait', "sh",
)  # fmt: skip


class Server:
    """Programs in process groups of their own, that end with the test process."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        #: Serves the same files and reads no .htaccess (Apache alone).
        self.bare_port: int | None = None

    def stop(self) -> None:
        """End them and what they started."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self._processes.clear()

    def run(
        self, command: list[str], environment: Mapping[str, str], log: Path, *, alone: bool = False
    ) -> None:
        """Start a program; ``alone``: it ends its own children, and leaves groups (php-fpm)."""
        with log.open("ab") as output:
            self._processes.append(
                subprocess.Popen(
                    [*(_WITH_PARENT if alone else _WATCHED), *command],
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )

    def wait(self, port: int, log: Path) -> None:
        """Return when somebody listens at the port."""
        ends_at = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < ends_at and all(p.poll() is None for p in self._processes):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
                return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"it did not start: {log.read_text(errors='replace')[-2000:]}")


def serve_php(
    run: Path,
    root: Path,
    port: int,
    environment: Mapping[str, str],
    *,
    steady: bool = False,
    workers: int = WORKERS,
) -> Server:
    """Serve a folder with PHP's own server, ``workers`` requests at a time.

    ``steady``: files do not change while it runs, and it does not look whether they did.
    """
    server = Server()
    chosen = {**PHP_OPTIONS, **({"opcache.validate_timestamps": "0"} if steady else {})}
    options = [f"-d{name}={value}" for name, value in chosen.items()]
    address = ["-S", f"127.0.0.1:{port}", "-t", str(root), str(FILES / "router.php")]
    variables = {"PHP_CLI_SERVER_WORKERS": str(workers), **environment}
    server.run(["php", *options, *address], variables, run / "php.log")
    server.wait(port, run / "php.log")
    return server


def private_folder(run: Path) -> Path:
    """Return the folder outside of the root that nginx and Apache may send files from."""
    return run / "private"


def php_without(folder: Path, *extensions: str) -> dict[str, str]:
    """Return the environment in which PHP starts without some of its extensions."""
    folder.mkdir()
    command = ["php", "-r", "echo PHP_CONFIG_FILE_SCAN_DIR;"]
    scanned = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for path in scanned.glob("*.ini"):
        if path.stem.partition("-")[2] not in extensions:
            (folder / path.name).symlink_to(path)
    return {"PHP_INI_SCAN_DIR": str(folder)}


def serve_nginx(
    run: Path,
    root: Path,
    port: int,
    environment: Mapping[str, str],
    *,
    folder: str = "",
    cache: str = "",
) -> Server:
    """Serve a folder with nginx and php-fpm.

    ``cache`` is "" for none, "polite" for one that does what the headers say, and "greedy"
    for one that keeps every page that is well, whatever they say.
    """
    home = run / "nginx"
    home.mkdir()
    nginx, log = home / "nginx.conf", home / "error.log"
    nginx.write_text(_nginx(run, root, port, folder, cache))
    server = Server()
    _start_fpm(server, home, environment)
    server.run(["nginx", "-e", str(log), "-c", str(nginx), "-g", "daemon off;"], {}, log)
    server.wait(port, log)
    _wait_for_socket(home / "fpm.sock")
    return server


def serve_apache(
    run: Path, root: Path, port: int, environment: Mapping[str, str], *, folder: str = ""
) -> Server:
    """Serve a folder with Apache and php-fpm.

    At its port it reads .htaccess, as most hosts let it; at ``bare_port`` it does not.
    """
    home = run / "apache"
    home.mkdir()
    config, log = home / "apache.conf", home / "error.log"
    server = Server()
    [server.bare_port] = free_ports(1)
    config.write_text(_apache(run, root, (port, server.bare_port), folder))
    _start_fpm(server, home, environment)
    command = ["apache2", "-d", str(home), "-f", str(config), "-DFOREGROUND"]
    server.run([*_NOBODY * (os.geteuid() == 0), *command], {}, log)
    server.wait(port, log)
    _wait_for_socket(home / "fpm.sock")
    return server


def _start_fpm(server: Server, home: Path, environment: Mapping[str, str]) -> None:
    (home / "fpm.conf").write_text(_fpm(home))
    options = [f"-d{name}={value}" for name, value in PHP_OPTIONS.items()]
    as_root = ["-R"] if os.geteuid() == 0 else []
    command = ["php-fpm8.2", *as_root, "-F", "-y", str(home / "fpm.conf"), *options]
    server.run(command, environment, home / "fpm.log", alone=True)


def _wait_for_socket(path: Path) -> None:
    ends_at = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends_at:
        # It is there a moment before anybody listens.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as tried:
            tried.connect(str(path))
            return
        time.sleep(0.02)
    raise RuntimeError("php-fpm did not start")


def _fpm(home: Path) -> str:
    user = "user=root\ngroup=root\n" if os.geteuid() == 0 else ""
    return f"""[global]
error_log={home}/fpm.log
pid={home}/fpm.pid
[www]
listen={home}/fpm.sock
listen.mode=0666
{user}pm=static
pm.max_children={WORKERS}
clear_env=no
catch_workers_output=yes
"""


def _nginx(run: Path, root: Path, port: int, folder: str, cache: str) -> str:
    home = run / "nginx"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {home}/{kind};\n " for kind in kinds)
    zone = f"fastcgi_cache_path {home}/cache keys_zone=pages:1m use_temp_path=off;" if cache else ""
    caching = {"": "", "polite": _CACHE, "greedy": _CACHE + _GREEDY}[cache]
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""worker_processes 1; pid {home}/nginx.pid; {user}
events {{ worker_connections 256; }}
http {{ include /etc/nginx/mime.types; access_log off; client_max_body_size 32m;
 {temporary}{zone}
 server {{ listen 127.0.0.1:{port}; root {root}; index index.php;
 location {folder}/ {{ try_files $uri $uri/ {folder}/index.php?$args; }}
 location ~ \\.php$ {{ try_files $uri =404; include /etc/nginx/fastcgi_params;
  fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
  fastcgi_param HTTP_HOST $http_host; fastcgi_pass unix:{home}/fpm.sock;{caching} }}
{from_docs("nginx", run)} }} }}
"""


def _apache(run: Path, root: Path, ports: tuple[int, int], folder: str) -> str:
    home, (port, bare) = run / "apache", ports
    names = "mpm_event authz_core dir mime headers setenvif rewrite proxy proxy_fcgi xsendfile"
    modules = "".join(
        f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n" for name in names.split()
    )
    return f"""{modules}ServerName 127.0.0.1
DefaultRuntimeDir {home}
PidFile {home}/apache.pid
Mutex file:{home} default
ErrorLog {home}/error.log
ServerLimit 1
StartServers 1
ThreadsPerChild 16
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
TypesConfig /etc/mime.types
Listen 127.0.0.1:{port}
Listen 127.0.0.1:{bare}
DocumentRoot {root}
DirectoryIndex index.php
<FilesMatch "\\.php$">
 SetHandler "proxy:unix:{home}/fpm.sock|fcgi://localhost"
</FilesMatch>
{from_docs("Apache", run)}
<VirtualHost 127.0.0.1:{port}>
 <Directory {root}>
  Require all granted
  AllowOverride All
 </Directory>
</VirtualHost>
<VirtualHost 127.0.0.1:{bare}>
 <Directory {root}>
  Require all granted
  AllowOverride None
  FallbackResource {folder}/index.php
 </Directory>
</VirtualHost>
"""


def from_docs(program: str, run: Path) -> str:
    """Return what the docs tell to write into a web server's configuration, to send files."""
    text = DOCS.read_text()
    found = re.search(rf"^    # {program}[^\n]*\n((?:    [^\n]*\n)+)", text, re.MULTILINE)
    assert found is not None
    return found[1].replace("/var/private/bitcache", str(private_folder(run)))
