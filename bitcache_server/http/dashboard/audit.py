"""/dashboard/<merchant>/audit: who did what, and when; also as a table to take along."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Response, request, stream_with_context

from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.dashboard.words import ACTIONS, DETAILS, ROLES
from bitcache_server.http.language import gettext, number_words, time_words
from bitcache_server.services.audit_log import (
    NOBODY,
    Deed,
    Filter,
    choices,
    log_rows,
    merchant_log,
)
from bitcache_server.services.members import OWNERS

MAX_CHARS = 200


@dataclass(frozen=True)
class Line:
    """A deed as the page shows it."""

    at: int
    name: str
    """Empty where no person did it."""
    words: str
    subject: str
    details: Sequence[tuple[str, str]]


def add_routes(pages: Blueprint) -> None:
    """Add the page and the table."""
    pages.add_url_rule("/<merchant_id>/audit", "audit", show)
    pages.add_url_rule("/<merchant_id>/audit.csv", "audit_csv", table)


def show(merchant_id: str) -> Response:
    """Show a page of the log."""
    require_member(merchant_id, OWNERS)
    wanted = _wanted()
    cursor = request.args.get("cursor", "")[:MAX_CHARS]
    deeds, following = merchant_log(session(), merchant_id, wanted, cursor or None)
    known = choices(session(), merchant_id)
    return page(
        "dashboard/audit.html",
        here="audit",
        lines=lines_of(deeds),
        wanted=wanted,
        nobody=NOBODY,
        people=known.people,
        actions=[(action, action_words(action)) for action in known.actions],
        is_filtered=bool(wanted.account_id or wanted.action),
        is_later_page=bool(cursor),
        newest=_query(wanted),
        older=_query(wanted, following) if following else None,
    )


def table(merchant_id: str) -> Response:
    """Give the log, as it is filtered, as a table (RFC 4180)."""
    require_member(merchant_id, OWNERS)
    rows = _csv(log_rows(session(), merchant_id, _wanted()))
    answer = Response(stream_with_context(rows), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = 'attachment; filename="bitcache-log.csv"'
    return answer


def lines_of(deeds: Sequence[Deed]) -> Sequence[Line]:
    """Return deeds in the words of the page's language."""
    return [
        Line(
            deed.at,
            deed.name or deed.account_id or "",
            action_words(deed.action),
            deed.subject,
            [(_detail_words(name), _value(name, of)) for name, of in _in_order(deed)],
        )
        for deed in deeds
    ]


def action_words(action: str) -> str:
    """Return what a deed is called; by its own name where it has no words yet."""
    words = ACTIONS.get(action)
    return gettext(words) if words else action


def _detail_words(name: str) -> str:
    words = DETAILS.get(name)
    return gettext(words) if words else name.replace("_", " ")


def _in_order(deed: Deed) -> list[tuple[str, object]]:
    """Return the details with what was before it changed in front of what it is now."""
    is_about_people = deed.action.partition(".")[0] in ("member", "invitation")
    named = sorted(deed.detail.items(), key=lambda pair: (pair[0] == "after", pair[0]))
    return [(name, _role_words(of) if is_about_people else of) for name, of in named]


def _role_words(value: object) -> object:
    words = ROLES.get(value) if isinstance(value, str) else None
    return gettext(words) if words else value


def _value(name: str, value: object) -> str:
    """Return a detail as people read it: what is in it, one after the other."""
    match value:
        case dict():
            return ", ".join(
                f"{_detail_words(part)}: {_value(part, of)}" for part, of in value.items()
            )
        case list():
            return ", ".join(_value(name, one) for one in value)
        case None | "":
            return "-"
        case bool():
            return gettext("yes") if value else gettext("no")
        case int():
            is_time = name in ("since", "until") or name.endswith("_at")
            return time_words(value) if is_time else number_words(value)
        case _:
            return str(value)


def _wanted() -> Filter:
    asked = request.args
    return Filter(asked.get("who", "")[:MAX_CHARS], asked.get("action", "")[:MAX_CHARS])


def _query(wanted: Filter, cursor: str | None = None) -> str:
    named = {"who": wanted.account_id, "action": wanted.action, "cursor": cursor or ""}
    return f"?{urlencode({name: value for name, value in named.items() if value})}"


def _csv(rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """Write lines as they are read: a long log needs little memory."""
    line = io.StringIO()
    writer = csv.writer(line)
    for row in rows:
        writer.writerow(row)
        yield line.getvalue()
        line.seek(0)
        line.truncate()
