"""The doctor's look at what going live needs: proxies, metrics, mail, backups."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.words import count
from bitcache_server.models.ledger import Transfer
from bitcache_server.models.operations import Backup
from bitcache_server.services.deps import Deps
from bitcache_server.services.findings import Finding, fine, warning
from bitcache_server.services.origins import is_local

#: A backup that is older says little about today's balances.
OLD_AFTER_DAYS = 7

_PROXY = "Put a proxy in front that reads whole requests, and set trusted_proxies = 1."


def check_proxy(deps: Deps) -> Iterator[Finding]:
    """Look whether a proxy stands in front, and whether readers' addresses get through it."""
    settings = deps.settings
    public = urlsplit(settings.public_url)
    if settings.trusted_proxies:
        yield fine("proxy", f"{count(settings.trusted_proxies, 'proxy', 'proxies')} in front.")
    elif public.scheme == "https" and not is_local(public.hostname or ""):
        # We speak no TLS ourselves, so somebody does it for us.
        yield warning(
            "proxy",
            "proxy_not_trusted",
            "public_url is https, so a proxy is in front, and trusted_proxies is 0: all readers "
            "seem to come from it and share one rate limit"
            f"{'' if settings.metrics_token else ', and it may open /metrics to them'}.",
            "Set trusted_proxies = 1 and let the proxy set X-Forwarded-For to the client's "
            "address.",
        )
    elif not _is_loopback(settings.bind_host):
        yield warning(
            "proxy",
            "listener_open",
            f"bind_host is {settings.bind_host}, and nobody stands in front: a few clients that "
            "send half of a request each hold every thread.",
            _PROXY,
        )
    else:
        yield fine("proxy", "None; only this machine reaches the server.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return is_local(host)


def check_mail(deps: Deps) -> Iterator[Finding]:
    """Look whether people who open accounts can get mail."""
    if deps.mail is None and deps.settings.sign_up == "open":
        yield warning(
            "mail",
            "no_mail",
            "Everybody may open an account, and no mail is sent: who loses a password needs you.",
            "Set smtp_url and mail_from.",
        )


def check_backups(deps: Deps, session: Session) -> Iterator[Finding]:
    """Look when the last backup was made, once there is something to lose."""
    taken_at = session.scalar(select(func.max(Backup.taken_at)))
    mend = "Run `bitcache backup FILE` daily, and keep the file on another machine."
    if taken_at is None:
        if session.scalar(select(Transfer.id).limit(1)) is not None:
            words = "`bitcache backup` never made one of this database."
            yield warning("backups", "backup_missing", words, mend)
        return
    days = (deps.clock() - taken_at) // SECONDS_PER_DAY
    if days >= OLD_AFTER_DAYS:
        yield warning("backups", "backup_old", f"The last is {count(days, 'day')} old.", mend)
    else:
        yield fine("backups", f"The last is {count(max(0, days), 'day')} old.")
