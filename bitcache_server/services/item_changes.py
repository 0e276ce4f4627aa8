"""What members change about items: one by one, or many in one transaction.

A changed price or access time holds for new invoices and clicks only. Each change stands
in the audit trail and is told to the merchant's webhooks.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest, UnknownItem
from bitcache_server.domain.money import ceil_div
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import ORDER_KIND, Item, Site
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.item_events import tell_of_item
from bitcache_server.services.item_terms import Terms, check_terms, minor_of, price_text, terms_of
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.members import Member
from bitcache_server.services.merchants import site_of_merchant

#: So many are changed at once at most: as many as one page lists, and some more.
MOST_AT_ONCE = 200
_PER_HUNDRED = 100
#: Hundredths of a per cent: prices are raised by up to 1,000 % and lowered by up to 99 %.
_MOST_RAISE, _MOST_CUT = 1_000, -99


@dataclass(frozen=True)
class Change:
    """What is done to many items; exactly one of the first four is set."""

    price: tuple[str, str] | None = None
    """Amount in major units as a merchant writes it, and currency or SAT."""
    raise_percent: Decimal | None = None
    """Negative lowers. The new price is rounded up to the smallest unit of its currency."""
    access: bool = False
    """Set ``access_hours``."""
    archive: bool | None = None
    """True takes them off sale, False puts them back."""
    access_hours: int | None = None
    """None is for ever."""


@dataclass(frozen=True)
class Planned:
    """An item, and what would be different about it."""

    item: Item
    before: Terms
    after: Terms

    @property
    def changes(self) -> bool:
        """Say whether anything would be different."""
        return self.before != self.after


def seen_plan(plan: Sequence[Planned]) -> str:
    """Return what stands for a plan: another one has another, so a yes is to this one only."""
    rows = [(one.item.id, asdict(one.before), asdict(one.after)) for one in plan]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def item_of(session: Session, merchant_id: str, item_id: str) -> tuple[Item, Site]:
    """Return an item of the merchant and its site; raise UnknownItem, also for another's.

    What an order is sold as is no item here.
    """
    query = (
        select(Item, Site)
        .join(Site, Site.id == Item.site_id)
        .where(Item.id == item_id, Item.kind != ORDER_KIND, Site.merchant_id == merchant_id)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        raise UnknownItem(f"There is no item {item_id[:64]!r}.")
    return row[0], row[1]


def put_on_sale(deps: Deps, session: Session, member: Member, site_id: str, new: NewItem) -> Item:
    """Add an item to a site of the member's merchant, in the caller's transaction.

    Raises what ``add_item`` raises, and InvalidRequest for an external id that is taken: who
    fills in a form means a new item.
    """
    site = site_of_merchant(session, member.merchant_id, site_id)
    taken = select(Item.id).where(Item.site_id == site.id, Item.external_id == new.external_id)
    if new.external_id is not None and session.scalar(taken) is not None:
        raise InvalidRequest(_("Another item of this site has this external id."))
    item = add_item(deps, session, site, new)
    note(
        deps,
        session,
        "item.added",
        merchant_id=member.merchant_id,
        account_id=member.account_id,
        subject=item.id,
        after={"title": item.title, "price": price_text(item.price_currency, item.price_amount)},
    )
    return item


def change_item(deps: Deps, session: Session, member: Member, item_id: str, terms: Terms) -> bool:
    """Give an item other terms; return whether any of them is another. Runs in a transaction.

    Raises UnknownItem, InvalidRequest, InvalidPrice, UnknownCurrency.
    """
    (found,) = _items(session, member.merchant_id, [item_id], lock=True)
    checked = check_terms(deps, session, found.site_id, terms, terms_of(found))
    return _apply(deps, session, member, Planned(found, terms_of(found), checked))


def set_archived(
    deps: Deps, session: Session, member: Member, item_id: str, *, archived: bool
) -> bool:
    """Take an item off sale or put it back; return whether that is new. Raises UnknownItem."""
    (found,) = _items(session, member.merchant_id, [item_id], lock=True)
    before = terms_of(found)
    after = replace(before, archived=archived)
    return _apply(deps, session, member, Planned(found, before, after))


def plan_changes(
    deps: Deps,
    session: Session,
    merchant_id: str,
    item_ids: Collection[str],
    change: Change,
    *,
    lock: bool = False,
) -> Sequence[Planned]:
    """Return what a change of many items would do; changes nothing.

    Raises UnknownItem, where one of them is not the merchant's, InvalidRequest and
    InvalidPrice.
    """
    wanted = sorted(set(item_ids))
    if not 0 < len(wanted) <= MOST_AT_ONCE:
        raise InvalidRequest(_("Choose 1 to %(number)s items."), number=MOST_AT_ONCE)
    items = _items(session, merchant_id, wanted, lock)
    return [_plan(deps, session, item, change) for item in items]


def change_items(
    deps: Deps,
    session: Session,
    member: Member,
    item_ids: Collection[str],
    change: Change,
    seen: str,
) -> int | None:
    """Change many items in the caller's transaction; return how many are different now.

    ``seen`` is ``seen_plan`` of what the member said yes to; None: it would be another one by
    now, and nothing was changed.
    """
    plan = plan_changes(deps, session, member.merchant_id, item_ids, change, lock=True)
    if seen_plan(plan) != seen:
        return None
    return sum(_apply(deps, session, member, planned) for planned in plan)


def _items(
    session: Session, merchant_id: str, item_ids: Sequence[str], lock: bool
) -> Sequence[Item]:
    """Return the items, newest first; with ``lock`` so they stay until the transaction ends."""
    query = (
        select(Item)
        .join(Site, Site.id == Item.site_id)
        .where(Item.id.in_(item_ids), Item.kind != ORDER_KIND, Site.merchant_id == merchant_id)
        .order_by(Item.created_at.desc(), Item.id.desc())
        .execution_options(populate_existing=True)
    )
    if lock:
        query = query.with_for_update(of=Item)
    items = session.scalars(query).all()
    if len(items) < len(item_ids):
        raise UnknownItem(_("One of these items is not there."))
    return items


def _plan(deps: Deps, session: Session, item: Item, change: Change) -> Planned:
    before = terms_of(item)
    after = before
    if change.price is not None:
        after = replace(before, price=change.price[0], currency=change.price[1])
    elif change.raise_percent is not None:
        raised = _raised(item, change.raise_percent)
        after = replace(before, price=price_text(item.price_currency, raised))
    elif change.access:
        after = replace(before, access_hours=change.access_hours)
    elif change.archive is not None:
        after = replace(before, archived=change.archive)
    return Planned(item, before, check_terms(deps, session, item.site_id, after, before))


def _raised(item: Item, percent: Decimal) -> int:
    """Return the new price in minor units or sats, rounded up."""
    if not (percent.is_finite() and _MOST_CUT <= percent <= _MOST_RAISE):
        raise InvalidRequest(
            _("A price changes by %(least)s to %(most)s per cent."),
            least=_MOST_CUT,
            most=_MOST_RAISE,
        )
    hundredths = percent * _PER_HUNDRED
    if hundredths != int(hundredths):
        raise InvalidRequest(_("Give the per cent with two decimals at most."))
    whole = _PER_HUNDRED * _PER_HUNDRED
    return ceil_div(item.price_amount * (whole + int(hundredths)), whole)


def _apply(deps: Deps, session: Session, member: Member, planned: Planned) -> bool:
    if not planned.changes:
        return False
    item, after = planned.item, planned.after
    item.title, item.teaser, item.url = after.title, after.teaser, after.url
    item.price_currency, item.price_amount = after.currency, minor_of(after)
    item.access_hours = after.access_hours
    if after.archived != planned.before.archived:
        item.archived_at = deps.clock() if after.archived else None
    session.flush()
    before, now = planned.before.differences(after)
    note(
        deps,
        session,
        _action(planned),
        merchant_id=member.merchant_id,
        account_id=member.account_id,
        subject=item.id,
        before=before,
        after=now,
    )
    tell_of_item(deps, session, item)
    return True


def _action(planned: Planned) -> str:
    if planned.after.archived == planned.before.archived:
        return "item.changed"
    return "item.archived" if planned.after.archived else "item.restored"
