"""Processes of a server that die at a chosen moment, run beside each other, or are told to stop."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Literal

from flask import Flask
from sqlalchemy import event

from bitcache_server import jobs, wiring
from bitcache_server.app import create_app
from bitcache_server.extensions import db
from bitcache_server.rails.fake import FakeRail
from bitcache_server.services.deps import deps_of
from bitcache_server.services.payout_batches import run_payouts
from bitcache_server.services.watch_rail import watch_rail
from tests.support.world import ORIGIN, World, make_settings

#: Children are forked from a clean process, which has no threads and imported this once.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.support.warm_server"])
PATIENCE_S = 180

Moment = Literal["before commit", "after commit", "at rollback"]


@dataclass(frozen=True)
class Server:
    """What another process needs to be the same server: its database, rail and time."""

    url: str
    folder: Path
    rail: FakeRail | None
    """None: the rails that the settings name."""
    now: int
    settings: dict[str, Any] = field(default_factory=dict)

    def app(self) -> Flask:
        """Build the server as a new process does."""
        settings = make_settings(self.folder, self.url, **self.settings)
        rails = None if self.rail is None else {"fake": self.rail}
        deps = wiring.build(settings, clock=lambda: self.now, rails=rails)
        return create_app(deps)


def server_of(world: World, **settings: Any) -> Server:
    """Return what another process needs to be the server of this world."""
    known = world.deps.settings
    url = known.database_url
    return Server(url, known.data_dir, world.rail, world.clock.now, settings)


def spawn(job: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process that runs the job."""
    process = CONTEXT.Process(target=job, args=arguments, daemon=True)
    process.start()
    return process


def finish(process: BaseProcess) -> int:
    """Wait for the end of a process and return its exit code; negative for a signal."""
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        raise AssertionError("The process did not end.")
    return process.exitcode


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_when(moment: Moment, number: int) -> None:
    """Let the operating system kill this process at the numbered moment from now on."""
    passed = 0

    def count(*_: object) -> None:
        nonlocal passed
        passed += 1
        if passed == number:
            _die()

    if moment == "before commit":
        event.listen(db.engine, "commit", count)
    elif moment == "at rollback":
        event.listen(db.engine, "rollback", count)
    else:
        event.listen(db.session, "after_commit", count)


def watch_and_die(server: Server, moment: Moment, number: int) -> None:
    """Watch the rail until death comes."""
    with server.app().app_context():
        _die_when(moment, number)
        _watch()


def _watch() -> None:
    from flask import current_app

    deps = deps_of(current_app)
    for rail in deps.chain_rails:
        watch_rail(deps, db.session(), rail)


def watch_at_once(server: Server, barrier: Barrier, leased: bool) -> None:
    """Watch the rail at the same moment as others do, with the jobs' leases or without."""
    app = server.app()
    barrier.wait(PATIENCE_S)
    if leased:
        jobs.run_jobs(app, only_once=True)
        return
    with app.app_context():
        _watch()


def pay_out_and_die(server: Server, moment: Moment, number: int) -> None:
    """Send what waits until death comes."""
    app = server.app()
    with app.app_context():
        _die_when(moment, number)
        deps = deps_of(app)
        for rail in deps.rails.values():
            run_payouts(deps, db.session(), rail, at_once=True)


def run_jobs_until_told(server: Server) -> None:
    """Be ``bitcache jobs``."""
    jobs.run_jobs(server.app())


def post_and_die(
    server: Server, moment: Moment, path: str, body: dict[str, str], headers: dict[str, str]
) -> None:
    """Answer a request until death comes, before the client has the answer."""
    app = server.app()
    with app.app_context():
        _die_when(moment, 1)
    app.test_client().post(path, json=body, headers={"Origin": ORIGIN, **headers})
