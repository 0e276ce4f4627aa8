"""Migration 0013: what opened wallets before opens them afterwards, and back again."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from bitcache_server.models import migrate
from bitcache_server.models.session import write_transaction
from tests.support.databases import ENGINES, Databases, open_engine

BEFORE = (
    "INSERT INTO passkeys (credential_id, wallet_id, public_key, sign_count, label, created_at)"
    " VALUES ('c', 'wa_x', 'k', 7, 'Phone', 1)",
    "INSERT INTO recovery_codes (wallet_id, code_hash, created_at) VALUES ('wa_x', 'h', 2)",
    "INSERT INTO lnurl_keys (key, wallet_id, created_at) VALUES ('02', 'wa_x', 3)",
    "INSERT INTO lnurl_challenges (k1, purpose, subject, browser_hash, created_at, expires_at)"
    " VALUES ('00', 'sign_in', '', 'b', 4, 5)",
)
AFTER = (
    "INSERT INTO passkeys (credential_id, owner_id, public_key, sign_count, label, created_at)"
    " VALUES ('d', 'ac_y', 'k', 7, 'Phone', 1)",
    "INSERT INTO recovery_codes (owner_id, code_hash, created_at) VALUES ('ac_y', 'i', 2)",
    "INSERT INTO lnurl_keys (key, realm, owner_id, created_at) VALUES ('02', 'account', 'ac_y', 3)",
)


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    with databases.empty(request.param) as empty:
        yield empty


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements in one transaction; return the rows of the last."""
    engine = open_engine(url)
    with Session(engine) as session, write_transaction(session):
        for statement in statements:
            result = session.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []  # type: ignore[attr-defined]
    engine.dispose()
    return rows


def test_owners_are_kept(url: str) -> None:
    migrate.upgrade(url, "0012")
    run(url, *BEFORE)
    migrate.upgrade(url, "0013")
    assert run(url, "SELECT owner_id, sign_count FROM passkeys") == [("wa_x", 7)]
    assert run(url, "SELECT owner_id, code_hash FROM recovery_codes") == [("wa_x", "h")]
    assert run(url, "SELECT key, realm, owner_id FROM lnurl_keys") == [("02", "wallet", "wa_x")]
    assert run(url, "SELECT realm FROM lnurl_challenges") == [("wallet",)]
    # One key for one of each, which older versions do not know.
    run(url, *AFTER)
    migrate.downgrade(url, "0012")
    assert run(url, "SELECT wallet_id FROM passkeys") == [("wa_x",)]
    assert run(url, "SELECT wallet_id FROM recovery_codes") == [("wa_x",)]
    assert run(url, "SELECT key, wallet_id FROM lnurl_keys") == [("02", "wa_x")]
