"""Mail goes through an outbox: a row in the transaction of its cause, sent afterwards by a job.

Each mail is sent at least once. A process that dies between the mail server's yes and our
note of it lets the mail be sent again, under the same Message-ID.
"""

import logging

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from bitcache_server.delivery.mail import MAX_SUBJECT_CHARS, Mail, check_address, one_line
from bitcache_server.domain.errors import InvalidRequest, MailRefused, MailUnreachable
from bitcache_server.models.accounts import QueuedMail
from bitcache_server.models.session import require_write_transaction, write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.sealing import seal, unseal
from bitcache_server.tokens.secrets import new_id

log = logging.getLogger(__name__)

#: So many mails are sent in one run of the job.
BATCH = 50
#: A mail that could not be sent for a day says nothing new any more.
GIVE_UP_AFTER_S = 86_400
LONGEST_PAUSE_S = 3_600
_PURPOSE = "mail"


def queue_mail(deps: Deps, session: Session, to: str, subject: str, text: str) -> bool:
    """Put a mail into the outbox, inside the caller's write transaction.

    ``text`` is plain text. Returns whether it will be sent: nothing is written where no mail
    server is configured. Raises InvalidRequest for an address that is none.
    """
    require_write_transaction(session)
    address = check_address(to)
    if deps.mail is None:
        return False
    mail_id, now = new_id("ma"), deps.clock()
    session.add(
        QueuedMail(
            id=mail_id,
            to_address=address,
            subject=one_line(subject)[:MAX_SUBJECT_CHARS],
            text_sealed=seal(_secret_key(deps), _PURPOSE, mail_id, text),
            tries=0,
            created_at=now,
            next_try_at=now,
        )
    )
    return True


def send_mails(deps: Deps, session: Session) -> int:
    """Send what is due and return how many mails went out. Opens its own transactions.

    Raises MailUnreachable when the mail server takes nothing: the others wait with this one.
    """
    if deps.mail is None:
        return 0
    query = select(QueuedMail.id).where(QueuedMail.next_try_at <= deps.clock())
    due = session.scalars(query.order_by(QueuedMail.next_try_at, QueuedMail.id).limit(BATCH)).all()
    session.rollback()
    return sum(_send(deps, session, deps.mail, mail_id) for mail_id in due)


def _send(deps: Deps, session: Session, mail: Mail, mail_id: str) -> bool:
    """Send one mail if nobody else is at it; no transaction is open meanwhile."""
    row = _take(deps, session, mail_id)
    if row is None:
        return False
    text = unseal(_secret_key(deps), _PURPOSE, row.id, row.text_sealed)
    if text is None:
        log.warning("mail=%s was sealed with another secret_key and is dropped", row.id)
        _drop(session, row.id)
        return False
    try:
        mail.send(row.to_address, row.subject, text, mail_id=row.id, at=row.created_at)
    except (MailRefused, InvalidRequest) as error:
        log.warning("mail=%s is dropped: %s", row.id, error)
        _drop(session, row.id)
        return False
    except MailUnreachable:
        if deps.clock() - row.created_at < GIVE_UP_AFTER_S:
            raise
        log.warning("mail=%s could not be sent for a day and is dropped", row.id)
        _drop(session, row.id)
        raise
    _drop(session, row.id)
    return True


def _take(deps: Deps, session: Session, mail_id: str) -> QueuedMail | None:
    """Move a mail's next try ahead, so that no other process takes it; return it as it was."""
    with write_transaction(session):
        row = session.get(QueuedMail, mail_id, populate_existing=True)
        if row is None or row.next_try_at > deps.clock():
            return None
        pause_s = min(LONGEST_PAUSE_S, 60 * 2 ** min(row.tries, 10))
        taken = session.execute(
            update(QueuedMail)
            .where(QueuedMail.id == mail_id, QueuedMail.next_try_at == row.next_try_at)
            .values(tries=row.tries + 1, next_try_at=deps.clock() + pause_s)
            .returning(QueuedMail.id)
            .execution_options(synchronize_session=False)
        ).first()
        session.expunge(row)
    return row if taken else None


def _drop(session: Session, mail_id: str) -> None:
    with write_transaction(session):
        session.execute(delete(QueuedMail).where(QueuedMail.id == mail_id))


def _secret_key(deps: Deps) -> str:
    return deps.settings.secret_key.get_secret_value()
