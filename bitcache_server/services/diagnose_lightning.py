"""The doctor's look at the Lightning node, wallet or service."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import LightningPermission, RailError
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.words import count
from bitcache_server.models.catalog import Merchant
from bitcache_server.rails.lightning.backend import Abilities, LightningBackend
from bitcache_server.rails.lightning.rail import RAIL_NAME, LightningRail
from bitcache_server.services.deps import Deps
from bitcache_server.services.findings import Finding, fine, problem, warning
from bitcache_server.services.origins import is_local

_NAME = "lightning"
#: With less than this, a few readers fill the channel.
_SMALL_ROOM_MSAT = 10_000 * MSAT_PER_SAT

#: How to mend what ``check`` says, by the error's code; first for one backend, then for all.
_MENDS = {
    ("lnd", "lightning_unreachable"): "Start lnd, unlock its wallet (lncli unlock), and compare "
    "lightning_url with restlisten in lnd.conf (https, port 8080 unless changed).",
    ("lnd", "lightning_unauthorized"): "Put the macaroon of this very node into "
    "lightning_secret, in hex: xxd -ps -u -c 10000 NAME.macaroon",
    ("lnd", "lightning_permission"): "Bake a macaroon with the permissions in "
    "docs/lightning.md: lncli bakemacaroon uri:/lnrpc.Lightning/AddInvoice …",
    ("lnd", "lightning_certificate"): "Give lnd's tls.cert: BITCACHE_LIGHTNING_CERTIFICATE_FILE. "
    "If the host name is the trouble, add tlsextradomain or tlsextraip to lnd.conf, delete "
    "tls.cert and tls.key, and restart lnd.",
    ("cln", "lightning_unreachable"): "Start lightningd with the clnrest plugin, and compare "
    "lightning_url with clnrest-host and clnrest-port in its config.",
    ("cln", "lightning_unauthorized"): "Put a rune of this very node into lightning_secret: "
    "lightning-cli createrune; one that was blacklisted stays so.",
    ("cln", "lightning_permission"): "Make a rune that allows the methods in docs/lightning.md: "
    "lightning-cli createrune restrictions='[[\"method=invoice\", …]]'",
    ("cln", "lightning_certificate"): "Give clnrest's ca.pem from the node's folder: "
    "BITCACHE_LIGHTNING_CERTIFICATE_FILE.",
    ("phoenixd", "lightning_unreachable"): "Start phoenixd and compare lightning_url with "
    "http-bind-ip and http-bind-port in phoenix.conf (http, port 9740 unless changed).",
    ("phoenixd", "lightning_unauthorized"): "Copy http-password-limited-access from "
    "phoenix.conf into lightning_secret.",
    ("phoenixd", "lightning_permission"): "Copy http-password from phoenix.conf into "
    "lightning_payout_secret, or leave that out.",
    ("lnbits", "lightning_unreachable"): "Start LNbits, and compare lightning_url with the "
    "address at which a browser on this machine opens it.",
    ("lnbits", "lightning_unauthorized"): "Copy the wallet's invoice key from LNbits (API info) "
    "into lightning_secret.",
    ("lnbits", "lightning_permission"): "Copy the wallet's admin key from LNbits (API info) into "
    "lightning_payout_secret, or leave that out.",
    ("nwc", "lightning_unreachable"): "Look whether the relay in the connection text can be "
    "reached from here (wss, firewall), and whether the wallet runs.",
    ("nwc", "lightning_unauthorized"): "The wallet does not know this connection: make a new one "
    "in the wallet and put its text into lightning_url.",
    ("nwc", "lightning_permission"): "Make a connection in the wallet that allows invoices, "
    "lookups and the list of transactions; for lightning_payout_secret paying, lookups and the "
    "balance.",
    ("electrum", "lightning_unreachable"): "Start the daemon (electrum daemon), load its wallet, "
    "and compare lightning_url with rpchost and rpcport.",
    ("electrum", "lightning_unauthorized"): "Compare lightning_secret with rpcuser and "
    "rpcpassword of the daemon (electrum getconfig rpcpassword).",
}
_MENDS_FOR_ALL = {
    "lightning_unreachable": "Start the node and compare host and port in lightning_url.",
    "lightning_unauthorized": "Compare lightning_secret with the node's.",
    "lightning_permission": "Give the permissions in docs/lightning.md to the secret.",
    "lightning_certificate": "Give the server's own certificate: "
    "BITCACHE_LIGHTNING_CERTIFICATE_FILE.",
    "lightning_wrong_network": "Set `network` to the node's, or point lightning_url to another "
    "node.",
    "lightning_rejected": "Compare lightning_backend and lightning_url; look at the node's log.",
}


def check_lightning(deps: Deps, session: Session | None) -> Iterator[Finding]:
    """Look whether the node answers, may do what it must, and has room for payments."""
    settings = deps.settings
    rail = deps.rails.get(RAIL_NAME)
    if not isinstance(rail, LightningRail):
        # Without a rail a setting of it is wrong, which was said before.
        if settings.lightning_backend and RAIL_NAME not in settings.rails:
            yield warning(
                _NAME,
                "lightning_off",
                f"lightning_backend is {settings.lightning_backend!r}, but `rails` does not have "
                "'lightning'.",
                'Set rails = ["lightning", "onchain"].',
            )
        return
    if rail.backend is None:
        yield _without_node(session)
        return
    yield from _secrets(deps)
    try:
        yield fine(_NAME, rail.backend.check(settings.network))
    except RailError as error:
        yield problem(_NAME, error.code, error.detail, mend_of(rail.backend.name, error.code))
        return
    yield from _room(rail.backend)
    yield from _abilities(rail.backend.abilities)


def mend_of(backend: str, code: str) -> str:
    """Return what to do about an error of a Lightning backend."""
    general = _MENDS_FOR_ALL.get(code, "Look at the node's log, then run it again.")
    return _MENDS.get((backend, code), general)


def _without_node(session: Session | None) -> Finding:
    sellers = 0
    if session is not None:
        query = select(func.count()).where(Merchant.lightning_address.is_not(None))
        sellers = session.scalar(query) or 0
        session.rollback()
    if sellers:
        who = count(sellers, "merchant is", "merchants are")
        return fine(_NAME, f"No node of our own; {who} paid at their Lightning address.")
    return problem(
        _NAME,
        "no_lightning_backend",
        "Lightning is switched on without a node, and no merchant has a Lightning address: nobody "
        "can be paid that way.",
        "Set lightning_backend and what it needs (docs/lightning.md), give a merchant a Lightning "
        "address, or take 'lightning' out of `rails`.",
    )


def _secrets(deps: Deps) -> Iterator[Finding]:
    settings = deps.settings
    secret = settings.lightning_secret.get_secret_value()
    if secret and secret == settings.lightning_payout_secret.get_secret_value():
        yield warning(
            "lightning secrets",
            "lightning_secret_wide",
            "lightning_secret and lightning_payout_secret are the same, so that one that only "
            "needs invoices may pay.",
            "Give lightning_secret one that cannot pay; docs/lightning.md has the commands.",
        )
    parts = urlsplit(settings.lightning_url.get_secret_value())
    if parts.scheme == "http" and not is_local(parts.hostname or ""):
        yield warning(
            "lightning secrets",
            "lightning_plain_http",
            "The secrets travel to another machine without encryption.",
            "Put TLS in front of the node, or reach it through a tunnel or a private network.",
        )


def _room(backend: LightningBackend) -> Iterator[Finding]:
    try:
        funds = backend.funds()
    except LightningPermission as error:
        # Whoever must not be without it says so in its check.
        yield warning(
            "lightning room",
            error.code,
            "The secret may sell and not ask for the balance, so that nobody can say whether the "
            "money is there.",
            "Let it ask for the balance (get_balance), if the books are to be compared.",
        )
        return
    except RailError as error:
        yield problem("lightning room", error.code, error.detail, mend_of(backend.name, error.code))
        return
    balance = f"{format_sat(funds.spendable_msat)} of its own"
    room_msat = funds.receivable_msat
    if room_msat is None:
        yield fine("lightning room", f"{balance}; it does not tell how much it can receive.")
    elif room_msat >= _SMALL_ROOM_MSAT:
        yield fine("lightning room", f"{balance}, room for {format_sat(room_msat)} more.")
    else:
        report = problem if room_msat < MSAT_PER_SAT else warning
        yield report(
            "lightning room",
            "no_inbound_room",
            f"{balance}, but room for {format_sat(room_msat)} only: payments above that cannot "
            "arrive.",
            "Open a channel with money on the other side (buy inbound liquidity), or spend over "
            "Lightning, or pay merchants out.",
        )


def _abilities(abilities: Abilities) -> Iterator[Finding]:
    if not abilities.pays:
        yield warning(
            "lightning payouts",
            "no_payout_secret",
            "lightning_payout_secret is not set: nothing is paid out over Lightning.",
            "Give a secret that may pay (docs/lightning.md), if payouts are wanted.",
        )
    lacks = [
        words
        for able, words in (
            (abilities.exact_msat, "amounts are rounded up to the sat"),
            (abilities.description_hash, "invoices carry the title, not a hash of what is sold"),
            (abilities.fee_limit or not abilities.pays, "the fee of a payout has no limit"),
            (abilities.pushes, "settlements are asked for, which takes a moment"),
        )
        if not able
    ]
    if lacks:
        yield fine("lightning abilities", f"With this backend {', '.join(lacks)}.")
