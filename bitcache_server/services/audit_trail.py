"""Who did what, when: written in the transaction of the deed, never changed."""

import json

from sqlalchemy.orm import Session

from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.session import require_write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.secrets import new_id


def note(
    deps: Deps,
    session: Session,
    action: str,
    *,
    merchant_id: str | None = None,
    account_id: str | None = None,
    subject: str = "",
    **detail: object,
) -> None:
    """Write down what is done in this transaction.

    ``action`` is a stable name such as ``item.price_changed``; ``detail`` says what it was
    before and after, and holds no secret.
    """
    require_write_transaction(session)
    session.add(
        AuditEntry(
            id=new_id("au"),
            merchant_id=merchant_id,
            account_id=account_id,
            action=action,
            subject=subject,
            detail=json.dumps(detail, ensure_ascii=False, sort_keys=True),
            created_at=deps.clock(),
        )
    )
