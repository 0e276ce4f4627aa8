"""Everything that is kept about a wallet, for its reader to take along."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.ledger import chart
from bitcache_server.models.sales import Invoice
from bitcache_server.models.wallets import (
    Allowance,
    Gift,
    LnurlKey,
    Passkey,
    RecoveryCode,
    WalletConnection,
    WalletSession,
)
from bitcache_server.services.deps import Deps
from bitcache_server.services.payouts import payouts_of
from bitcache_server.services.texts import table_cell
from bitcache_server.services.wallet_activity import activity
from bitcache_server.services.wallet_views import purchases, wallet_view

#: More purchases than anybody makes; the list is one document.
MAX_ROWS = 1_000_000
HEADINGS = ("time", "what", "title", "own_msat", "gift_msat", "booking")
#: Left out: what signs in, and what nobody outside can use.
_SECRET = {
    "secret_hash",
    "code_hash",
    "address_hash",
    "public_key",
    "challenge",
    "sealed",
    "wallet_id",
    "owner_id",
    "realm",
}


def export_wallet(deps: Deps, session: Session, wallet_id: str) -> dict[str, Any]:
    """Return balance, purchases, bookings, allowances and sign-ins; times in Unix seconds."""
    wallet = wallet_view(deps, session, wallet_id)
    bought, _ = purchases(deps, session, wallet_id, size=MAX_ROWS)
    return {
        "exported_at": deps.clock(),
        "server": deps.settings.public_url,
        "wallet": wallet.id,
        "created_at": wallet.created_at,
        "balance_msat": wallet.balance_msat,
        "gift_msat": wallet.gift_msat,
        "purchases": [vars(purchase) for purchase in bought],
        "activity": [vars(line) for line in activity(session, wallet_id)],
        "top_ups": _rows(session, Invoice, wallet_id),
        "withdrawals": [
            _fields(row) for row in payouts_of(session, chart.wallet(wallet_id), limit=MAX_ROWS)
        ],
        "allowances": _rows(session, Allowance, wallet_id),
        "gift": _rows(session, Gift, wallet_id),
        "devices": _rows(session, WalletSession, wallet_id),
        "passkeys": _rows(session, Passkey, wallet_id),
        "recovery_code": _rows(session, RecoveryCode, wallet_id),
        "lightning_wallets": _rows(session, LnurlKey, wallet_id),
        "wallet_connection": _rows(session, WalletConnection, wallet_id),
    }


def activity_rows(session: Session, wallet_id: str) -> Iterator[tuple[str | int, ...]]:
    """Yield the lines of a table: headings, then what happened, newest first."""
    yield HEADINGS
    for line in activity(session, wallet_id):
        yield (
            line.at,
            line.words,
            table_cell(line.title),
            line.own_msat,
            line.gift_msat,
            line.group_id,
        )


def _rows(session: Session, model: Any, wallet_id: str) -> list[dict[str, Any]]:
    owner = model.owner_id if hasattr(model, "owner_id") else model.wallet_id
    found = session.scalars(select(model).where(owner == wallet_id))
    return [_fields(row) for row in found]


def _fields(row: Any) -> dict[str, Any]:
    names = (column.key for column in row.__mapper__.column_attrs)
    return {name: getattr(row, name) for name in names if name not in _SECRET}
