"""Read the audit trail: of a merchant, and of an account."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from bitcache_server.models.accounts import Account, AuditEntry
from bitcache_server.services.paging import newest_first
from bitcache_server.services.texts import table_cell

PAGE_SIZE = 50
#: Filters by this instead of an account's id: what no person did, but a command or a site.
NOBODY = "-"
HEADINGS = ("time", "name", "login", "action", "subject", "detail")
_EXPORT_SIZE = 500


@dataclass(frozen=True)
class Deed:
    """One line of the trail."""

    at: int
    account_id: str | None
    """None: the command line, a site's server or a job."""
    name: str
    login: str
    action: str
    subject: str
    detail: dict[str, object]


@dataclass(frozen=True)
class Filter:
    """Which lines; empty for all."""

    account_id: str = ""
    action: str = ""


@dataclass(frozen=True)
class Choices:
    """By whom and by what a trail can be filtered."""

    people: Sequence[tuple[str, str]]
    """Id and name; ``NOBODY`` has no name."""
    actions: Sequence[str]


def merchant_log(
    session: Session, merchant_id: str, wanted: Filter, cursor: str | None
) -> tuple[Sequence[Deed], str | None]:
    """Return a page of what was done for a merchant, newest first, and the next one's cursor.

    Raises InvalidRequest for a cursor that was not given out here.
    """
    found = newest_first(session, AuditEntry, _conditions(merchant_id, wanted), cursor, PAGE_SIZE)
    return _deeds(session, found.rows), found.next_cursor


def account_log(
    session: Session, account_id: str, cursor: str | None
) -> tuple[Sequence[Deed], str | None]:
    """Return a page of what an account did and of what was done to it, newest first."""
    mine = or_(AuditEntry.account_id == account_id, AuditEntry.subject == account_id)
    found = newest_first(session, AuditEntry, [mine], cursor, PAGE_SIZE)
    return _deeds(session, found.rows), found.next_cursor


def choices(session: Session, merchant_id: str) -> Choices:
    """Return whom and what a merchant's trail names."""
    query = (
        select(AuditEntry.account_id, AuditEntry.action)
        .where(AuditEntry.merchant_id == merchant_id)
        .distinct()
    )
    pairs = [(account_id, action) for account_id, action in session.execute(query)]
    names = _names(session, {account_id for account_id, _ in pairs if account_id})
    people = sorted(((who, name) for who, (name, _) in names.items()), key=lambda pair: pair[1])
    if any(account_id is None for account_id, _ in pairs):
        people.append((NOBODY, ""))
    return Choices(people, sorted({action for _, action in pairs}))


def log_rows(session: Session, merchant_id: str, wanted: Filter) -> Iterator[tuple[str, ...]]:
    """Yield the lines of a table: headings, then what was done, newest first."""
    yield HEADINGS
    cursor: str | None = None
    while True:
        found = newest_first(
            session, AuditEntry, _conditions(merchant_id, wanted), cursor, _EXPORT_SIZE
        )
        for deed in _deeds(session, found.rows):
            detail = json.dumps(deed.detail, ensure_ascii=False, sort_keys=True)
            texts = (deed.name, deed.login, deed.action, deed.subject, detail)
            yield (_utc(deed.at), *(table_cell(text) for text in texts))
        cursor = found.next_cursor
        if cursor is None:
            return


def _conditions(merchant_id: str, wanted: Filter) -> list[ColumnElement[bool]]:
    conditions = [AuditEntry.merchant_id == merchant_id]
    if wanted.account_id == NOBODY:
        conditions.append(AuditEntry.account_id.is_(None))
    elif wanted.account_id:
        conditions.append(AuditEntry.account_id == wanted.account_id)
    if wanted.action:
        conditions.append(AuditEntry.action == wanted.action)
    return conditions


def _deeds(session: Session, rows: Sequence[AuditEntry]) -> Sequence[Deed]:
    names = _names(session, {row.account_id for row in rows if row.account_id})
    return [
        Deed(
            row.created_at,
            row.account_id,
            *names.get(row.account_id or "", ("", "")),
            row.action,
            row.subject,
            json.loads(row.detail),
        )
        for row in rows
    ]


def _names(session: Session, account_ids: set[str]) -> dict[str, tuple[str, str]]:
    query = select(Account.id, Account.name, Account.login).where(Account.id.in_(account_ids))
    return {account_id: (name, login) for account_id, name, login in session.execute(query)}


def _utc(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
