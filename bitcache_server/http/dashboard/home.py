"""/dashboard/<merchant>: takings, what sold, what needs attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from babel.dates import format_date, format_skeleton
from flask import Blueprint, Response
from markupsafe import Markup, escape

from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.chart import Chart, draw
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.language import gettext, language, ngettext, time_words
from bitcache_server.http.money import sats
from bitcache_server.i18n import day_pattern
from bitcache_server.i18n import mark as _
from bitcache_server.services.attention import Concern, Matter, concerns
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.first_steps import first_steps
from bitcache_server.services.funnels import glance
from bitcache_server.services.members import EVERYBODY, Member
from bitcache_server.services.takings import DaySum, Takings, begin_of_chart, takings

WORDS: dict[Matter, str] = {
    Matter.RAIL_ILL: _(
        "Payments over %(name)s are not offered at this moment: the operator's server does not"
        " reach the network."
    ),
    Matter.PAYOUT_FAILED: _("A payout failed on %(at)s. Its money is back in your balance."),
    Matter.PAYOUT_WAITS: _("A payout has been waiting since %(at)s."),
    Matter.WEBHOOK_FAILS: _("The webhook endpoint %(name)s has been failing since %(at)s."),
    Matter.PAGE_REFUSED: _(
        "A page of %(name)s asked for one of your items. It is none of the site's origins."
    ),
    Matter.NEVER_CONNECTED: _("Nothing has been heard of the site %(name)s yet."),
    Matter.OVERLAP_ENDS: _("The earlier secret of the site %(name)s stops working on %(at)s."),
}
MEND: dict[Matter, str] = {
    Matter.NO_DESTINATION: _("Choose where payouts go"),
    Matter.PAYOUT_FAILED: _("Look at payouts"),
    Matter.PAYOUT_WAITS: _("Look at payouts"),
    Matter.WEBHOOK_FAILS: _("Look at the endpoint"),
    Matter.PAGE_REFUSED: _("Look at the site"),
    Matter.NEVER_CONNECTED: _("Connect the site"),
    Matter.OVERLAP_ENDS: _("Look at the site"),
    Matter.SEEN_NOT_SOLD: _("Look at the item"),
}


@dataclass(frozen=True)
class Shown:
    """A concern as a sentence, and a link for those who may follow it."""

    sentence: Markup
    path: str
    link: str


def add_routes(pages: Blueprint) -> None:
    """Add the page."""
    pages.add_url_rule("/<merchant_id>", "home", show)


def show(merchant_id: str) -> Response:
    """Show how the merchant is doing, or how to begin."""
    member = require_member(merchant_id, EVERYBODY)
    merchant = get_merchant(session(), merchant_id)
    steps = first_steps(session(), merchant_id)
    now = deps().clock()
    items = glance(session(), merchant_id, begin_of_chart(merchant.time_zone, now))
    context: dict[str, Any] = {"here": "home", "steps": steps}
    if steps.begun:
        context |= _figures(takings(session(), merchant, now))
        context |= {"best": items.best, "funnel": items.whole}
    found = concerns(deps(), session(), merchant, items.unsold)
    attention = [_shown(member, one) for one in found if member.may(one.who) or not one.path]
    return page("dashboard/home.html", attention=attention, **context)


def _figures(sums: Takings) -> dict[str, Any]:
    return {
        "takings": sums,
        "chart": _chart(sums.days),
        "days": [(_day(one.day, whole=True), one.sum) for one in reversed(sums.days)],
        "ends": [_day(sums.days[i].day) for i in (0, len(sums.days) // 2, -1)],
    }


def _chart(days: Sequence[DaySum]) -> Chart:
    values = [one.sum.msat for one in days]
    labels = [f"{_day(one.day)}: {sats(one.sum.msat)}" for one in days]
    return draw(values, labels)


def _day(day: date, *, whole: bool = False) -> str:
    if whole:
        return str(
            format_date(day, f"EEE {day_pattern(language()).removesuffix(' y')}", locale=language())
        )
    return str(format_skeleton("MMMd", day, locale=language()))


def _sentence(concern: Concern) -> str:
    """Return the words, with places for names and amounts still to be filled in."""
    if concern.matter is Matter.NO_DESTINATION:
        return ngettext(
            "%(amount)s waits for you. Say where it should be paid out to.",
            "%(amount)s wait for you. Say where they should be paid out to.",
            concern.number // MSAT_PER_SAT,
            amount="%(amount)s",
        )
    if concern.matter is Matter.SEEN_NOT_SOLD:
        return ngettext(
            "%(name)s was seen %(num)s time in 30 days and never bought.",
            "%(name)s was seen %(num)s times in 30 days and never bought.",
            concern.number,
            name="%(name)s",
        )
    return gettext(WORDS[concern.matter])


def _shown(member: Member, concern: Concern) -> Shown:
    """Return a concern in words; names are other people's and stay text."""
    name = Markup("<bdi>{}</bdi>").format(concern.name)
    values = {
        "name": name,
        "amount": sats(concern.number),
        "at": time_words(concern.at) if concern.at else "",
    }
    sentence = escape(_sentence(concern)) % {key: escape(value) for key, value in values.items()}
    path = f"/dashboard/{member.merchant_id}{concern.path}" if concern.path else ""
    return Shown(Markup(sentence), path, gettext(MEND[concern.matter]) if path else "")  # noqa: S704 - escaped above
