"""/wallet/connect: the page on which a reader lets a site spend from the balance."""

import html
import re
import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.domain.errors import InvalidRequest, UnknownWallet
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Allowance, OneTimeCode, RecoveryCode
from bitcache_server.services.allowances import (
    Limits,
    create_allowance,
    default_limits,
    list_allowances,
    permits,
    revoke_allowance,
)
from bitcache_server.services.wallets import open_session, revoke_session
from tests.support.api import at_once, call
from tests.support.clicks import Clicker, open_clicker
from tests.support.shops import sell_at
from tests.support.world import ORIGIN, PUBLIC_URL, World, sha256_challenge

VERIFIER = "v" * 43
PAGE = f"{ORIGIN}/articles/7?from=feed"
LIMITS = {"per_item": "20000", "per_day": "200 000", "auto": "0", "days": "90"}


def asked(world: World, **changes: Any) -> dict[str, str]:
    return {
        "item": world.article_id,
        "origin": ORIGIN,
        "challenge": sha256_challenge(VERIFIER),
        "return_to": PAGE,
        "popup": "1",
        **changes,
    }


def new_wallet(world: World, balance_msat: int = 20_000_000, **options: Any) -> Clicker:
    """Return a reader whose allowance has been revoked: nothing is allowed."""
    reader = open_clicker(world, balance_msat, **options)
    reader.change_allowance(revoked_at=world.clock())
    return reader


def browser(reader: Clicker) -> dict[str, str]:
    world = reader.world
    with write_transaction(world.session):
        cookie = open_session(world.deps, world.session, reader.wallet_id, "Test", False)
    return {"Cookie": f"__Host-bitcache_wallet={cookie}"}


def look(world: World, reader: Clicker | None = None, **changes: Any) -> TestResponse:
    headers = browser(reader) if reader else {}
    query = urlencode(asked(world, **changes))
    return call(world, "GET", f"/wallet/connect?{query}", headers=headers)


def allow(reader: Clicker, form: dict[str, str], **headers: str) -> TestResponse:
    sent = {**browser(reader), "Origin": PUBLIC_URL, **headers}
    return call(reader.world, "POST", "/wallet/connect", data=form, headers=sent)


def allowances(world: World) -> list[Allowance]:
    world.session.rollback()
    found = list(world.session.scalars(select(Allowance).where(Allowance.revoked_at.is_(None))))
    world.session.expunge_all()
    world.session.rollback()
    return found


def code_of(answer: TestResponse) -> str:
    assert answer.status_code == 200, answer.text
    match = re.search(r'data-code="([\w-]{43})"', answer.text)
    assert match, answer.text
    return match[1]


def collect(world: World, code: str) -> TestResponse:
    body = {"code": code, "verifier": VERIFIER}
    return call(world, "POST", "/v1/allowances", json=body, headers={"Origin": ORIGIN})


def test_the_page_says_who_asks_what_it_costs_and_what_is_there(world: World) -> None:
    reader = new_wallet(world, 20_000_000, gift_msat=3_000_000)
    answer = look(world, reader)
    assert answer.status_code == 200
    text = html.unescape(re.sub(r"<[^>]+>|\s+", " ", answer.text))
    for words in ("Ada's blog", "blog.example", "On engines", "0.05 USD", "Allow and read"):
        assert words in text
    assert re.search(r"Your balance: +23,000 +sats", text)
    assert re.search(r"of which +3,000 +sats +are a gift", text)
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert "<style" not in answer.text
    assert not re.search(r"<script[^>]*>[^<]", answer.text)


def test_who_only_looks_leaves_nothing_behind(world: World) -> None:
    look(world)
    look(world, new_wallet(world))
    assert allowances(world) == []
    assert world.session.scalars(select(OneTimeCode)).all() == []


def test_allowing_gives_a_code_that_the_page_collects(world: World) -> None:
    reader = new_wallet(world)
    answer = allow(reader, asked(world) | LIMITS)
    code = code_of(answer)
    assert f'data-origin="{ORIGIN}"' in answer.text
    link = html.unescape(re.search(r'id="return" href="([^"]+)"', answer.text)[1])  # type: ignore[index]  # asserted by the next lines
    assert link.partition("#")[0] == PAGE
    assert parse_qs(urlsplit(link).fragment) == {
        "bitcache_code": [code],
        "bitcache_item": [world.article_id],
    }
    token = collect(world, code).get_json()["allowance"]
    assert Clicker(world, reader.wallet_id, "", token).unlock()["outcome"] == "booked"
    [allowance] = allowances(world)
    assert (allowance.per_item_msat, allowance.per_day_msat) == (20_000_000, 200_000_000)
    world.assert_books_balance()


def test_the_proposed_limits_follow_the_price_and_can_be_changed(world: World) -> None:
    text = look(world, new_wallet(world)).text
    values = dict(re.findall(r'<input id="(\w+)" name="\w+" type="text"[^>]* value="(\w+)"', text))
    assert values == {"per_item": "20000", "per_day": "200000", "auto": "0", "days": "90"}
    assert default_limits(1) == Limits(4_000, 40_000, 0, 90)
    # Rounded up to a number that people would choose.
    assert default_limits(1_234_567).per_item_msat == 5_000_000
    assert default_limits(10**15).per_item_msat == 10**12


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_item": "0"}, {"per_item": "-1"}, {"per_item": "1e3"}, {"per_item": ""},
        {"per_item": "9" * 16}, {"per_item": "4999"}, {"per_day": "19999"}, {"auto": "20001"},
        {"days": "0"}, {"days": "367"}, {"days": "x"}, {"per_day": "9" * 16},
    ],
)  # fmt: skip
def test_limits_that_make_no_sense_come_back_with_the_reason(
    sqlite_world: World, wrong: dict[str, str]
) -> None:
    reader = new_wallet(sqlite_world)
    answer = allow(reader, asked(sqlite_world) | LIMITS | wrong)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "<details open>" in answer.text
    [[name, typed]] = wrong.items()
    assert f'value="{typed}"' in answer.text, name
    assert allowances(sqlite_world) == []


def test_limits_keep_their_order(sqlite_world: World) -> None:
    for limits in ((999, 999, 0, 1), (1_000, 999, 0, 1), (1_000, 1_000, 1_001, 1)):
        with pytest.raises(InvalidRequest):
            Limits(*limits)


def test_a_second_approval_changes_the_one_allowance(world: World) -> None:
    reader = new_wallet(world)
    code_of(allow(reader, asked(world) | LIMITS))
    again = look(world, reader).text
    assert ">Continue<" in again
    code_of(allow(reader, asked(world) | LIMITS | {"per_item": "30000"}))
    [allowance] = allowances(world)
    assert allowance.per_item_msat == 30_000_000


def test_continue_keeps_the_limits_and_their_end(world: World) -> None:
    reader = new_wallet(world)
    code_of(allow(reader, asked(world) | LIMITS | {"auto": "100"}))
    [before] = allowances(world)
    world.clock.pass_time(86_400)
    answer = collect(world, code_of(allow(reader, asked(world) | {"keep": "1"})))
    assert answer.get_json()["auto_msat"] == 100_000
    [after] = allowances(world)
    assert (after.id, after.expires_at) == (before.id, before.expires_at)


def test_continue_after_the_allowance_was_revoked_is_no_way_around_asking(world: World) -> None:
    reader = new_wallet(world)
    answer = allow(reader, asked(world) | {"keep": "1"})
    assert answer.status_code == 422
    assert allowances(world) == []


def test_approvals_at_once_leave_one_allowance(world: World) -> None:
    reader = new_wallet(world)
    headers = {**browser(reader), "Origin": PUBLIC_URL}
    form = asked(world) | LIMITS

    def post(_number: int) -> TestResponse:
        return call(world, "POST", "/wallet/connect", data=form, headers=headers)

    codes = {code_of(answer) for answer in at_once(4, post)}
    assert len(codes) == 4
    assert len(allowances(world)) == 1


def test_a_price_above_the_limits_says_so_and_proposes_higher_ones(world: World) -> None:
    reader = new_wallet(world, 90_000_000)
    limits = {"per_item": "5000", "per_day": "9000", "auto": "7", "days": "5"}
    code = code_of(allow(reader, asked(world) | limits))
    Clicker(world, reader.wallet_id, "", collect(world, code).get_json()["allowance"]).unlock()
    answer = look(world, reader, item=world.file_id)
    assert "above the limits" in answer.text
    assert ">Continue<" not in answer.text
    values = dict(re.findall(r'<input id="(\w+)"[^>]* value="(\w+)"', answer.text))
    assert int(values["per_item"]) >= 7_000
    assert int(values["per_day"]) >= 12_000
    assert values["auto"] == "7"
    raised = collect(world, code_of(allow(reader, asked(world, item=world.file_id) | values)))
    token = raised.get_json()["allowance"]
    assert Clicker(world, reader.wallet_id, "", token).unlock(world.file_id)["charged_msat"]
    world.assert_books_balance()


def test_a_balance_that_is_too_small_leads_to_a_top_up_and_back(world: World) -> None:
    text = html.unescape(look(world, new_wallet(world, 4_999_000)).text)
    assert "too small" in text
    assert "Allow and" not in text
    link = re.search(r'href="(/wallet/top-up\?[^"]+)"', text)
    assert link
    [back] = parse_qs(urlsplit(link[1]).query)["next"]
    assert parse_qs(urlsplit(back).query)["item"] == [world.article_id]
    assert call(world, "GET", back).status_code == 200
    # Exactly the price is enough.
    assert "Allow and read" in look(world, new_wallet(world, 5_000_000)).text


def test_what_was_bought_before_costs_nothing_whatever_the_balance(world: World) -> None:
    reader = open_clicker(world, 5_000_000)
    reader.unlock()
    reader.change_allowance(revoked_at=world.clock())
    assert "costs nothing" in look(world, reader).text
    code = code_of(allow(reader, asked(world) | LIMITS | {"per_item": "1", "per_day": "1"}))
    token = collect(world, code).get_json()["allowance"]
    assert Clicker(world, reader.wallet_id, "", token).unlock()["outcome"] == "owned"


def test_without_a_wallet_there_is_a_way_to_one(start_world: Any) -> None:
    world = start_world(gift_sat=2_000, gift_budget_sat_per_day=10_000)
    text = html.unescape(look(world).text)
    assert "2,000" in text
    assert "Take the gift" in text
    for path in ("/wallet/top-up?next=", "/wallet/sign-in?next="):
        assert path in text
    item = world.get(f"/v1/items/{world.article_id}").get_json()
    assert item["balance"]["gift_msat"] == 2_000_000
    assert item["balance"]["connect_url"] == f"{PUBLIC_URL}/wallet/connect"


def test_without_a_gift_and_without_a_rate(start_world: Any) -> None:
    world = start_world()
    assert "Take the gift" not in look(world).text
    world.clock.pass_time(world.deps.settings.rate_max_age_s + 1)
    assert "not known" in look(world, new_wallet(world)).text
    assert world.get(f"/v1/items/{world.article_id}").get_json()["balance"] is None


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 422),
        ({"origin": ""}, 422),
        ({"origin": f"{ORIGIN}.evil.example"}, 403),
        ({"return_to": "https://evil.example/"}, 403),
        ({"return_to": f"{ORIGIN}.evil.example/"}, 403),
        ({"return_to": f"{ORIGIN}@evil.example/"}, 403),
        ({"return_to": f"{ORIGIN}\\@evil.example/"}, 403),
        ({"return_to": f"{ORIGIN}:443@evil.example/"}, 403),
        ({"return_to": "javascript:alert(1)"}, 403),
        ({"return_to": "//evil.example/"}, 403),
        ({"return_to": "https://[evil/"}, 422),
        ({"return_to": f"{ORIGIN}/\n"}, 422),
        ({"return_to": f"{ORIGIN}/{'x' * 2_000}"}, 422),
        ({"return_to": ""}, 403),
        ({"challenge": "short"}, 422),
        ({"item": "it_nothing"}, 404),
    ],
)
def test_who_may_not_ask_gets_a_page_that_says_why(
    sqlite_world: World, change: dict[str, str], status: int
) -> None:
    reader = new_wallet(sqlite_world)
    shown = look(sqlite_world, reader, **change)
    assert (shown.status_code, shown.mimetype) == (status, "text/html")
    assert "<h1>" in shown.text
    sent = allow(reader, asked(sqlite_world) | LIMITS | change)
    assert sent.status_code == status
    assert "evil.example" not in "".join(re.findall(r'href="([^"]*)"', shown.text + sent.text))
    assert allowances(sqlite_world) == []


def test_the_way_back_cannot_be_made_to_lead_elsewhere(sqlite_world: World) -> None:
    reader = new_wallet(sqlite_world)
    for tail in ("//evil.example", "/\\evil.example", "/%2f%2fevil.example", "?a=@evil.example"):
        form = asked(sqlite_world, return_to=f"{ORIGIN}{tail}#frag") | LIMITS
        link = re.search(r'id="return" href="([^"]+)"', allow(reader, form).text)
        assert link
        assert link[1].startswith(f"{ORIGIN}/"), link[1]
        assert "frag" not in link[1]


def test_only_our_own_page_can_send_the_form(world: World) -> None:
    reader = new_wallet(world)
    form = asked(world) | LIMITS
    assert allow(reader, form, Origin=ORIGIN).status_code == 403
    for site in ("cross-site", "same-site", "none"):
        assert allow(reader, form, **{"Sec-Fetch-Site": site}).status_code == 403
    stranger = call(world, "POST", "/wallet/connect", data=form, headers={"Origin": PUBLIC_URL})
    assert stranger.status_code == 303
    assert stranger.headers["Location"].startswith("/wallet/sign-in")
    assert allowances(world) == []


def test_a_revoked_allowance_is_asked_for_again_and_the_old_token_stays_dead(
    world: World,
) -> None:
    reader = new_wallet(world)
    first = collect(world, code_of(allow(reader, asked(world) | LIMITS))).get_json()["allowance"]
    [allowance] = allowances(world)
    with write_transaction(world.session):
        for _ in range(2):
            revoke_allowance(world.deps, world.session, reader.wallet_id, allowance.id)
    second = collect(world, code_of(allow(reader, asked(world) | LIMITS))).get_json()["allowance"]
    dead = Clicker(world, reader.wallet_id, "", first).click()
    assert dead.get_json()["code"] == "allowance_revoked"
    assert Clicker(world, reader.wallet_id, "", second).unlock()["outcome"] == "booked"
    world.assert_books_balance()


def test_the_list_shows_what_can_be_used_and_what_was_spent_today(world: World) -> None:
    reader = open_clicker(world)
    reader.unlock()
    [shown] = list_allowances(world.deps, world.session, reader.wallet_id)
    assert (shown.site_name, shown.origin, shown.spent_today_msat) == (
        "Ada's blog", ORIGIN, 5_000_000,
    )  # fmt: skip
    world.session.rollback()
    world.clock.pass_time(86_400)
    [shown] = list_allowances(world.deps, world.session, reader.wallet_id)
    assert shown.spent_today_msat == 0
    world.session.rollback()
    world.clock.pass_time(30 * 86_400)
    assert list_allowances(world.deps, world.session, reader.wallet_id) == []


def test_a_clock_that_went_back_frees_no_day(world: World) -> None:
    reader = open_clicker(world, per_day_msat=10_000_000)
    reader.unlock()
    reader.unlock(sell_at(world, 5_000))
    world.clock.pass_time(-86_400)
    world.session.rollback()
    [allowance] = allowances(world)
    assert not permits(world.deps, allowance, 1_000)


def test_a_deleted_wallet_allows_nothing(world: World) -> None:
    reader = new_wallet(world)
    with write_transaction(world.session):
        world.session.get_one(Wallet, reader.wallet_id).closed_at = world.clock()
    for wallet_id in (reader.wallet_id, f"wa_{secrets.token_hex(4)}"):
        with pytest.raises(UnknownWallet), write_transaction(world.session):
            create_allowance(
                world.deps, world.session, wallet_id, world.site_id, ORIGIN, default_limits(1_000)
            )


def secured(world: World, **options: Any) -> Clicker:
    """Return a reader with a recovery code, who has not shown it lately."""
    reader = new_wallet(world, **options)
    with write_transaction(world.session):
        world.session.add(
            RecoveryCode(owner_id=reader.wallet_id, code_hash="0" * 64, created_at=world.clock())
        )
    return reader


@pytest.mark.parametrize(
    "more", [{"per_item": "20001"}, {"per_day": "200001"}, {"auto": "1"}, {"days": "91"}]
)
def test_more_than_is_proposed_needs_the_readers_proof(
    sqlite_world: World, more: dict[str, str]
) -> None:
    world = sqlite_world
    reader = secured(world)
    answer = allow(reader, asked(world) | LIMITS | more)
    assert answer.status_code == 303
    path, _, query = answer.headers["Location"].partition("?")
    assert path == "/wallet/confirm"
    [back] = parse_qs(query)["next"]
    assert parse_qs(urlsplit(back).query)["return_to"] == [PAGE]
    # Nobody fills the limits in for the reader who comes back.
    assert more.keys().isdisjoint(parse_qs(urlsplit(back).query))
    assert allowances(world) == []
    # The proposed ones need none, nor do lower ones later; higher ones do.
    code_of(allow(reader, asked(world) | LIMITS))
    lower = LIMITS | {"per_item": "6000", "per_day": "9000"}
    code_of(allow(reader, asked(world) | lower))
    assert allow(reader, asked(world) | lower | {"per_item": "6001"}).status_code == 303
    [allowance] = allowances(world)
    assert allowance.per_item_msat == 6_000_000
    with write_transaction(world.session):
        cookie = open_session(world.deps, world.session, reader.wallet_id, "Test", verified=True)
    headers = {"Cookie": f"__Host-bitcache_wallet={cookie}", "Origin": PUBLIC_URL}
    form = asked(world) | LIMITS | more
    code_of(call(world, "POST", "/wallet/connect", data=form, headers=headers))


def test_a_wallet_that_nothing_guards_sets_its_limits_freely(sqlite_world: World) -> None:
    code_of(allow(new_wallet(sqlite_world), asked(sqlite_world) | LIMITS | {"per_item": "90000"}))


def test_what_a_signed_out_browser_approved_is_not_collected(world: World) -> None:
    reader = new_wallet(world)
    sent = {**browser(reader), "Origin": PUBLIC_URL}
    form = asked(world) | LIMITS
    code = code_of(call(world, "POST", "/wallet/connect", data=form, headers=sent))
    assert collect(world, code).status_code == 200
    session_id = sent["Cookie"].split(".")[1]
    with write_transaction(world.session):
        revoke_session(world.deps, world.session, reader.wallet_id, session_id)
    refused = collect(world, code)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "approval_pending")


def test_after_signing_others_out_all_sites_can_be_revoked(world: World) -> None:
    reader, other = new_wallet(world), open_clicker(world)
    token = collect(world, code_of(allow(reader, asked(world) | LIMITS))).get_json()["allowance"]
    headers = {**browser(reader), "Origin": PUBLIC_URL}
    after = call(world, "GET", "/wallet/security?done=devices", headers=headers).text
    assert "One site may still take from your balance" in after
    assert 'href="/wallet/sites"' in after
    assert "may still take" not in call(world, "GET", "/wallet/security", headers=headers).text
    revoke = "/wallet/sites/revoke-all"
    refused = call(world, "POST", revoke, headers={**headers, "Origin": "https://evil.example"})
    assert refused.status_code == 403
    for _ in range(2):
        answer = call(world, "POST", revoke, headers=headers)
        assert answer.headers["Location"] == "/wallet/sites?done=all"
    assert Clicker(world, reader.wallet_id, "", token).click().get_json()["code"] == (
        "allowance_revoked"
    )
    # Another reader's stays.
    assert other.unlock()["outcome"] == "booked"


def test_the_page_promises_no_click_that_a_site_need_not_wait_for(sqlite_world: World) -> None:
    text = " ".join(
        re.sub(r"<[^>]+>", "", look(sqlite_world, new_wallet(sqlite_world)).text).split()
    )
    assert "may then take up to 20,000 sats for an item and 200,000 sats a day" in text
    assert "what you click on" not in text
