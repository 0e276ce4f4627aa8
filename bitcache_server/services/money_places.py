"""Where a merchant's money goes: their own wallet, or ours and from there a payout address.

Whoever gets at an owner's browser would change this first. So each change is written down
with what it was before, and every owner whose address is known is told by mail.
"""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.models.accounts import Account, Membership
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.session import write_transaction
from bitcache_server.services.audit_trail import note
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.deps import Deps
from bitcache_server.services.lightning_addresses import (
    check_lightning_address,
    keep_lightning_address,
    refuse_shares,
)
from bitcache_server.services.mail_outbox import queue_mail
from bitcache_server.services.members import Role

_SUBJECT = "Where your money goes was changed"
_TEXT = """Hello,

on {url} the place that the money of {merchant} goes to was changed:

before: {before}
now:    {after}

If that was you or another owner, there is nothing to do. If not, sign in now, end all other
sessions on the page "Security", and put it right on the page "Payouts"; then tell the
operator of the server, who can stop what is on its way.
"""


def set_own_wallet(
    deps: Deps,
    session: Session,
    merchant_id: str,
    *,
    descriptor: str | None,
    lightning_address: str | None,
    account_id: str | None,
) -> Merchant:
    """Pay a merchant straight into these wallets of theirs from now on; without any, through us.

    Open invoices keep what they were made with. The descriptor is public (BIP 380); a
    Lightning address is asked first, so it opens its own transaction. Raises
    DescriptorInvalid, PrivateKeyRefused, what ``check_lightning_address`` raises,
    SplitInvalid where items have co-authors, InvalidRequest beside a name of ours.
    """
    checked = deps.rail("onchain").check_account(descriptor) if descriptor else None
    known = get_merchant(session, merchant_id).lightning_address
    session.rollback()
    # One that is stored already was asked when it was given.
    address = lightning_address or None
    if address is not None and address != known:
        address = check_lightning_address(deps, address)
    with write_transaction(session):
        merchant = get_merchant(session, merchant_id)
        before = _own_wallet(merchant)
        if checked or address:
            refuse_shares(session, merchant_id)
        merchant.descriptor = checked
        keep_lightning_address(merchant, address)
        after = _own_wallet(merchant)
        if after != before:
            note_money_place(
                deps, session, merchant_id, "wallet.changed", account_id, before, after
            )
        session.flush()
    return merchant


def note_money_place(
    deps: Deps,
    session: Session,
    merchant_id: str,
    action: str,
    account_id: str | None,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> None:
    """Write a change down and tell the owners of another destination, in this transaction."""
    note(
        deps,
        session,
        action,
        merchant_id=merchant_id,
        account_id=account_id,
        before=dict(before),
        after=dict(after),
    )
    places = [_words(before), _words(after)]
    if places[0] == places[1]:
        return
    text = _TEXT.format(
        url=deps.settings.public_url,
        merchant=get_merchant(session, merchant_id).name,
        before=places[0],
        after=places[1],
    )
    for address in _owners_mail(session, merchant_id):
        queue_mail(deps, session, address, _SUBJECT, text)


def _own_wallet(merchant: Merchant) -> dict[str, object]:
    return {"descriptor": merchant.descriptor, "lightning_address": merchant.lightning_address}


def _words(place: Mapping[str, object]) -> str:
    known = [str(place[name]) for name in _PLACES if place.get(name)]
    return ", ".join(known) or "nothing"


_PLACES = ("address", "descriptor", "lightning_address")


def _owners_mail(session: Session, merchant_id: str) -> list[str]:
    query = (
        select(Account.email)
        .join(Membership, Membership.account_id == Account.id)
        .where(
            Membership.merchant_id == merchant_id,
            Membership.role == Role.OWNER,
            Account.email.is_not(None),
            Account.email_verified_at.is_not(None),
            Account.closed_at.is_(None),
        )
        .order_by(Account.id)
    )
    return [email for email in session.scalars(query) if email is not None]
