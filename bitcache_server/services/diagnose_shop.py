"""The doctor's look at what is sold: files, wallets, sites, and the jobs that watch."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.domain.money import format_sat
from bitcache_server.domain.words import count
from bitcache_server.models.catalog import Item, Merchant, Site, SiteOrigin
from bitcache_server.models.operations import RailStatus
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.services.deps import Deps
from bitcache_server.services.findings import Finding, fine, problem, warning
from bitcache_server.services.offers import floor_msat
from bitcache_server.services.origins import is_local
from bitcache_server.services.quotes import quote

#: Examples in one sentence.
_EXAMPLES = 3


def check_files(deps: Deps, session: Session) -> Iterator[Finding]:
    """Look whether each file for sale lies in the files folder and can be read."""
    folder = deps.settings.files_dir
    query = select(Item.id, Item.file_path).where(Item.file_path.is_not(None)).order_by(Item.id)
    rows = session.execute(query).all()
    missing = [(i, str(path)) for i, path in rows if not _readable(deps, str(path))]
    if missing:
        shown = "; ".join(f"{path} ({i})" for i, path in missing[:_EXAMPLES])
        yield problem(
            "files",
            "file_missing",
            f"{len(missing)} of {count(len(rows), 'file')} for sale cannot be read: {shown}",
            f"Put them back into {folder} with these names, readable by this user.",
        )
    elif not folder.is_dir() and not rows:
        yield warning("files", "no_files_folder", f"{folder} is not there.", f"mkdir -p {folder}")
    else:
        yield fine("files", f"{len(rows)} for sale in {folder}.")


def _readable(deps: Deps, path: str) -> bool:
    try:
        deps.files.open(path).close()
    except (BitcacheError, OSError):
        return False
    return True


def check_wallets(deps: Deps, session: Session) -> Iterator[Finding]:
    """Look whether every merchant can be paid: own descriptor, or the operator's."""
    if "onchain" not in deps.rails:
        return
    own = deps.settings.onchain_descriptor
    rows = session.execute(
        select(
            Merchant.id, Merchant.name, Merchant.descriptor, Merchant.lightning_address
        ).order_by(Merchant.id)
    ).all()
    theirs = [(f"{name} ({i})", wallet) for i, name, wallet, _ in rows if wallet is not None]
    wallets = [("onchain_descriptor", own)] if own else []
    broken = list(_broken(deps, [*wallets, *theirs]))
    yield from broken
    if broken:
        return
    without = sum(row.descriptor is None and row.lightning_address is None for row in rows)
    if without and not own:
        yield _without_wallet(deps, without)
        return
    found = f"{count(len(rows), 'merchant')}, {len(theirs)} with a wallet of their own."
    yield fine("wallets", found)


def _without_wallet(deps: Deps, number: int) -> Finding:
    """Say that merchants have no on-chain wallet; bad only where Lightning has no node."""
    lightning = deps.rails.get("lightning")
    by_lightning = isinstance(lightning, LightningRail) and lightning.backend is not None
    so = "they are paid over Lightning alone" if by_lightning else "nobody can pay them"
    return (warning if by_lightning else problem)(
        "wallets",
        "no_descriptor",
        f"{count(number, 'merchant has', 'merchants have')} no descriptor, and "
        f"onchain_descriptor is not set: {so}.",
        "Set onchain_descriptor to your wallet's public descriptor or xpub, or add merchants "
        "with --descriptor.",
    )


def _broken(deps: Deps, wallets: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Yield a problem for each way in which descriptors are wrong for the network."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for whose, descriptor in wallets:
        try:
            deps.rail("onchain").check_account(descriptor)
        except BitcacheError as error:
            wrong.setdefault((error.code, error.detail), []).append(whose)
    for (code, detail), owners in wrong.items():
        more = f" and {len(owners) - _EXAMPLES} more" if len(owners) > _EXAMPLES else ""
        yield problem(
            "wallets",
            code,
            f"{', '.join(owners[:_EXAMPLES])}{more}: {detail}",
            f"Give a public descriptor or xpub for {deps.settings.network}, or correct `network`. "
            "A merchant's wallet is given with `bitcache merchant add`.",
        )


def check_prices(deps: Deps, session: Session) -> Iterator[Finding]:
    """Look for items that cost less than an invoice can carry at the present fees."""
    statuses = {name: session.get(RailStatus, name) for name in deps.rails}
    rows = session.execute(
        select(Item.id, Item.title, Item.price_currency, Item.price_amount).order_by(Item.id)
    ).all()
    if not rows or not statuses:
        return
    floor = min(floor_msat(deps, name, status) for name, status in statuses.items())
    if floor == 0:
        yield fine("prices", "Each can be paid over Lightning, whatever it is.")
        return
    prices = {(row.price_currency, row.price_amount) for row in rows}
    now_msat = {price: quote(deps, session, *price).amount_msat for price in prices}
    low = []
    for row in rows:
        amount_msat = now_msat[row.price_currency, row.price_amount]
        if amount_msat is not None and amount_msat < floor:
            low.append(f"{row.title} ({row.id}) costs {format_sat(amount_msat)}")
    if not low:
        yield fine("prices", f"None is below {format_sat(floor)}, where on-chain payments start.")
        return
    yield warning(
        "prices",
        "below_floor",
        f"On-chain payments start at {format_sat(floor)} at the present fees; {len(low)} of "
        f"{count(len(rows), 'item')} below that, sold from readers' balances alone: "
        f"{'; '.join(low[:_EXAMPLES])}",
        "To offer an invoice as well, raise the price: `bitcache item price ITEM --price …`, "
        "or lower onchain_floor_sat and onchain_floor_fee_vb.",
    )


def check_sites(session: Session) -> Iterator[Finding]:
    """Look at the origins whose pages may sell."""
    sites = session.scalar(select(func.count()).select_from(Site)) or 0
    if not sites:
        yield warning(
            "sites",
            "no_site",
            "There is no site yet, so nothing is sold.",
            "Run `bitcache merchant add` and `bitcache site add`.",
        )
        return
    rows = session.execute(
        select(SiteOrigin.site_id, SiteOrigin.origin).order_by(SiteOrigin.site_id)
    ).all()
    weak = [f"{origin} ({site})" for site, origin in rows if _is_weak(origin)]
    local = [f"{origin} ({site})" for site, origin in rows if _is_local(origin)]
    if weak:
        yield warning(
            "sites",
            "origin_http",
            f"Pages without https can be changed on their way: {'; '.join(weak[:_EXAMPLES])}",
            "Serve the site over https, then `bitcache site origins SITE --add … --remove …`.",
        )
    if local:
        yield warning(
            "sites",
            "origin_local",
            f"Origins on the reader's own machine: {'; '.join(local[:_EXAMPLES])}",
            "Remove them from a site that is in use: `bitcache site origins SITE --remove …`.",
        )
    if not weak and not local:
        yield fine("sites", f"{sites} with {count(len(rows), 'origin')}.")


def _is_local(origin: str) -> bool:
    return is_local(urlsplit(origin).hostname or "")


def _is_weak(origin: str) -> bool:
    return urlsplit(origin).scheme != "https" and not _is_local(origin)


def check_jobs(deps: Deps, session: Session) -> Iterator[Finding]:
    """Look when the jobs last reported; without them nothing is ever paid."""
    mend = "Start `bitcache jobs` and keep it running (systemd, Docker)."
    for name in deps.rails:
        status = session.get(RailStatus, name)
        if status is None:
            found = f"The jobs never looked at {name}."
            yield problem("jobs", "never_checked", found, mend)
            continue
        age_s = deps.clock() - status.checked_at
        if age_s > deps.settings.rail_stale_after_s:
            found = f"The jobs last looked at {name} {age_s} s ago."
            yield problem("jobs", "jobs_silent", found, mend)
        else:
            yield fine("jobs", f"They looked at {name} {max(0, age_s)} s ago.")
