"""A reader's own Lightning wallet, connected so that it fills the balance by itself (NIP-47).

The reader gives a connection text and limits. What it says is a secret that moves money, so
it is kept encrypted, and is never shown again. The relay is a stranger's choice: outside of
tests it must be reached with TLS and have a public address.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import delete
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import (
    ConfigurationError,
    ConnectionInvalid,
    InvalidRequest,
    LnurlForbidden,
    LnurlUnreachable,
    RailError,
)
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import WalletConnection
from bitcache_server.rails.lightning.nwc_client import NwcClient, load_sdk, relays_of
from bitcache_server.rails.lightning.safe_http import check_public_host
from bitcache_server.services.deps import Deps
from bitcache_server.services.strangers import place_to_wait
from bitcache_server.services.top_up import smallest_sat
from bitcache_server.services.wallets import require_open_wallet
from bitcache_server.tokens.sealing import seal, unseal

RAIL_NAME = "lightning"
#: Longer than any connection text with a few relays.
MAX_TEXT_CHARS = 2_000
#: What the wallet must let us do: pay, and say what became of it.
_NEEDED = {"pay_invoice", "lookup_invoice"}
_PURPOSE = "wallet_connection"
#: Each name may take seconds to look up, and whoever wrote the text chose the names.
MAX_RELAYS = 4


@dataclass(frozen=True)
class ConnectionView:
    """What a reader is told of the connection. Amounts are msat, times Unix seconds."""

    alias: str
    amount_msat: int
    per_day_msat: int
    spent_today_msat: int
    created_at: int
    used_at: int | None
    error: str
    is_under_way: bool
    """The wallet was told to pay, and that has not ended yet."""


def can_connect(deps: Deps) -> bool:
    """Say whether wallets can be connected: money comes in over Lightning, the library is there."""
    try:
        load_sdk()
    except ConfigurationError:
        return False
    return RAIL_NAME in deps.rails and bool(deps.settings.lightning_backend)


def connect_wallet(
    deps: Deps, session: Session, wallet_id: str, text: str, amount_sat: int, per_day_sat: int
) -> None:
    """Check a connection and keep it with its limits, in place of an earlier one.

    Asks the wallet before its transaction begins. Raises ConnectionInvalid, in words for
    the reader, InvalidRequest for the limits, UnknownWallet.
    """
    if not can_connect(deps):
        raise ConnectionInvalid("No wallet can be connected to this server.")
    _check_limits(deps, session, amount_sat, per_day_sat)
    session.rollback()
    text = text.strip()
    alias = _checked_alias(deps, text)
    secret_key = deps.settings.secret_key.get_secret_value()
    with write_transaction(session):
        require_open_wallet(session, wallet_id)
        found = session.get(WalletConnection, wallet_id, with_for_update=True)
        row = found or WalletConnection(wallet_id=wallet_id, day=0, spent_msat=0)
        row.sealed = seal(secret_key, _PURPOSE, wallet_id, text)
        row.alias = alias
        row.amount_msat = amount_sat * MSAT_PER_SAT
        row.per_day_msat = per_day_sat * MSAT_PER_SAT
        row.error = ""
        row.created_at = deps.clock()
        session.add(row)


def disconnect_wallet(session: Session, wallet_id: str) -> None:
    """Forget a connection, inside the caller's transaction; nothing is asked of it any more.

    What the wallet was told to pay before may still arrive, and is the reader's.
    """
    session.execute(delete(WalletConnection).where(WalletConnection.wallet_id == wallet_id))


def connection_view(deps: Deps, session: Session, wallet_id: str) -> ConnectionView | None:
    """Return what the reader may see, without the secret; None without a connection."""
    row = session.get(WalletConnection, wallet_id, populate_existing=True)
    if row is None:
        return None
    today = deps.clock() // SECONDS_PER_DAY
    return ConnectionView(
        alias=row.alias,
        amount_msat=row.amount_msat,
        per_day_msat=row.per_day_msat,
        spent_today_msat=row.spent_msat if row.day == today else 0,
        created_at=row.created_at,
        used_at=row.used_at,
        error=row.error,
        is_under_way=row.invoice_id is not None and is_open(deps, session, row.invoice_id),
    )


def is_open(deps: Deps, session: Session, invoice_id: str) -> bool:
    """Return whether a payment of the wallet's may still be on its way to an invoice."""
    invoice = session.get(Invoice, invoice_id, populate_existing=True)
    if invoice is None or invoice.state != InvoiceState.OPEN:
        return False
    return deps.clock() <= invoice.expires_at


def connection_text(deps: Deps, row: WalletConnection) -> str | None:
    """Return the secret text; None when the server's key has changed since."""
    secret_key = deps.settings.secret_key.get_secret_value()
    return unseal(secret_key, _PURPOSE, row.wallet_id, row.sealed)


def check_relays(deps: Deps, text: str) -> None:
    """Raise ConnectionInvalid for a text without a relay that may be reached.

    Asks for the relays' addresses, so it is called outside of transactions, and again
    before each use: a name may lead elsewhere by then.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise ConnectionInvalid("That is too long for a wallet connection.")
    local = deps.settings.environment != "production"
    relays = relays_of(text)
    if len(relays) > MAX_RELAYS:
        raise ConnectionInvalid(f"A wallet connection names at most {MAX_RELAYS} relays here.")
    for relay in relays:
        try:
            parts = urlsplit(relay)
            host, port = parts.hostname or "", parts.port or 443
        except ValueError:
            raise ConnectionInvalid("The relay in the connection has no good address.") from None
        if parts.scheme != "wss" and not local:
            raise ConnectionInvalid("The relay in the connection must begin with wss://.")
        try:
            check_public_host(host, port, local, deps.settings.lnurl_timeout_s)
        except (LnurlForbidden, LnurlUnreachable) as error:
            raise ConnectionInvalid(f"The relay in the connection: {error.detail}") from None


def _check_limits(deps: Deps, session: Session, amount_sat: int, per_day_sat: int) -> None:
    least_sat, most_sat = smallest_sat(deps, session), deps.settings.top_up_max_sat
    if not least_sat <= amount_sat <= most_sat:
        raise InvalidRequest(f"Let it pay from {least_sat:,} to {most_sat:,} sats at a time.")
    if per_day_sat < amount_sat:
        raise InvalidRequest("The limit of a day must allow one top-up at least.")


def _checked_alias(deps: Deps, text: str) -> str:
    """Check relays and wallet, and return its name; only a few callers at a time may wait."""
    with place_to_wait() as has_place:
        if not has_place:
            raise ConnectionInvalid("Many wallets are being asked at this moment; try again.")
        check_relays(deps, text)
        return _ask_wallet(deps, text)


def _ask_wallet(deps: Deps, text: str) -> str:
    client = NwcClient(text, deps.settings.lnurl_timeout_s)
    try:
        info = client.info()
    except RailError as error:
        raise ConnectionInvalid(error.detail) from None
    finally:
        client.close()
    missing = sorted(_NEEDED - info.methods)
    if missing:
        raise ConnectionInvalid(f"The wallet does not let this connection: {', '.join(missing)}.")
    if info.network and info.network != deps.settings.network:
        raise ConnectionInvalid(
            f"The wallet is on {info.network[:16]}, this server on {deps.settings.network}."
        )
    return "".join(char for char in info.alias if char.isprintable())[:64]
