"""What stands between a browser and a WordPress: PHP's own server, or nginx with php-fpm."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

FILES = Path(__file__).with_name("wordpress_files")
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
    run: Path, root: Path, port: int, environment: Mapping[str, str], *, steady: bool = False
) -> Server:
    """Serve a folder with PHP's own server, four requests at a time.

    ``steady``: files do not change while it runs, and it does not look whether they did.
    """
    server = Server()
    chosen = {**PHP_OPTIONS, **({"opcache.validate_timestamps": "0"} if steady else {})}
    options = [f"-d{name}={value}" for name, value in chosen.items()]
    address = ["-S", f"127.0.0.1:{port}", "-t", str(root), str(FILES / "router.php")]
    workers = {"PHP_CLI_SERVER_WORKERS": str(WORKERS), **environment}
    server.run(["php", *options, *address], workers, run / "php.log")
    server.wait(port, run / "php.log")
    return server


def serve_nginx(run: Path, root: Path, port: int, *, folder: str = "", cache: str = "") -> Server:
    """Serve a folder with nginx and php-fpm.

    ``cache`` is "" for none, "polite" for one that does what the headers say, and "greedy"
    for one that keeps every page that is well, whatever they say.
    """
    (run / "nginx").mkdir()
    fpm, nginx = run / "nginx" / "fpm.conf", run / "nginx" / "nginx.conf"
    fpm.write_text(_fpm(run))
    nginx.write_text(_nginx(run, root, port, folder, cache))
    server = Server()
    log = run / "nginx" / "error.log"
    options = [f"-d{name}={value}" for name, value in PHP_OPTIONS.items()]
    as_root = ["-R"] if os.geteuid() == 0 else []
    command = ["php-fpm8.2", *as_root, "-F", "-y", str(fpm), *options]
    server.run(command, {}, run / "nginx" / "fpm.log", alone=True)
    server.run(["nginx", "-e", str(log), "-c", str(nginx), "-g", "daemon off;"], {}, log)
    server.wait(port, log)
    _wait_for_socket(run / "nginx" / "fpm.sock")
    return server


def _wait_for_socket(path: Path) -> None:
    ends_at = time.monotonic() + START_TIMEOUT_S
    while not path.exists():
        if time.monotonic() > ends_at:
            raise RuntimeError("php-fpm did not start")
        time.sleep(0.02)


def _fpm(run: Path) -> str:
    user = "user=root\ngroup=root\n" if os.geteuid() == 0 else ""
    return f"""[global]
error_log={run}/nginx/fpm.log
pid={run}/nginx/fpm.pid
[www]
listen={run}/nginx/fpm.sock
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
  fastcgi_param HTTP_HOST $http_host; fastcgi_pass unix:{home}/fpm.sock;{caching} }} }} }}
"""
