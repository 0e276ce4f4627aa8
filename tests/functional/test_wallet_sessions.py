"""Cookies of the wallet: who holds one, for how long, and what ends it."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.domain.errors import (
    ConfirmationRequired,
    InvalidRequest,
    SignInRequired,
    UnknownWallet,
)
from bitcache_server.http.user_agent import device_label
from bitcache_server.jobs import all_jobs
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import WalletSession
from bitcache_server.services.browsers import (
    SEEN_EVERY_S,
    is_confirmed,
    mark_verified,
    renew_cookie,
    require_confirmation,
)
from bitcache_server.services.recovery import new_recovery_code
from bitcache_server.services.wallets import (
    CONFIRMATION_AGE_S,
    KEPT_S,
    SESSION_AGE_S,
    Holder,
    authenticate,
    devices,
    forget_signed_out_sessions,
    leave_wallet,
    open_session,
    revoke_session,
)
from tests.support.authenticator import Authenticator
from tests.support.shops import assert_nothing_lost
from tests.support.wallet_browser import COOKIE, Reader
from tests.support.world import PUBLIC_URL, World


def holder_of(world: World, reader: Reader) -> Holder:
    world.session.rollback()
    known = authenticate(world.deps, world.session, reader.cookie)
    assert known is not None
    return known


def row_of(world: World, reader: Reader) -> WalletSession:
    world.session.rollback()
    return world.session.get_one(WalletSession, (reader.wallet_id, reader.session_id))


def test_only_the_whole_cookie_opens(shop: World) -> None:
    reader = Reader(shop)
    wallet_id = reader.open_wallet()
    cookie = reader.cookie
    assert cookie is not None
    assert holder_of(shop, reader) == Holder(wallet_id, reader.session_id, None, "")
    own, session_id, secret = cookie.split(".")
    stranger = Reader(shop)
    stranger.open_wallet()
    other_wallet, other_session, other_secret = str(stranger.cookie).split(".")
    wrong = (
        None,
        "",
        "nonsense",
        cookie + "x",
        cookie[:-1] + ("A" if cookie[-1] != "A" else "B"),
        f"{other_wallet}.{session_id}.{secret}",
        f"{own}.{other_session}.{secret}",
        f"{own}.{other_session}.{other_secret}",
        f"{own}.{session_id}.{other_secret}",
        f"{own}.{session_id}.{row_of(shop, reader).secret_hash}",
        f"{own}.{session_id}.\x00{secret[1:]}",
        f"{own}.{session_id}.",
        "wa_" + "x" * 5_000,
    )
    for text in wrong:
        assert authenticate(shop.deps, shop.session, text) is None, text


def test_the_secret_is_nowhere_in_the_database(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    row = row_of(shop, reader)
    stored = [str(getattr(row, column.name)) for column in WalletSession.__table__.columns]
    assert not [text for text in stored if str(reader.cookie).split(".")[2] in text]


def test_the_cookie_is_for_our_server_alone(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    code = reader.make_recovery_code()
    answer = Reader(shop).enter_code(code)
    line = answer.headers["Set-Cookie"]
    assert line.startswith(f"{COOKIE}={reader.wallet_id}.")
    attributes = {part.strip() for part in line.split(";")[1:]}
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=34560000"} <= attributes
    assert "Domain" not in line


def test_over_plain_http_the_cookie_has_a_plain_name(
    start_world: Callable[..., World],
) -> None:
    world = start_world(public_url="http://localhost:8402")
    reader = Reader(world)
    reader.open_wallet()
    with write_transaction(world.session) as session:
        code = new_recovery_code(world.deps, world.session, holder_of(world, reader))
        session.flush()
    answer = world.app.test_client().post("/wallet/sign-in", data={"code": code})
    line = answer.headers["Set-Cookie"]
    assert line.startswith(f"bitcache_wallet={reader.wallet_id}.")
    assert "Secure" not in line


def test_a_copied_cookie_dies_with_the_browser_it_came_from(shop: World) -> None:
    owner, thief = Reader(shop), Reader(shop, "203.0.113.9")
    owner.open_wallet()
    thief.cookie = str(owner.cookie)
    assert thief.is_signed_in()
    key = owner.add_passkey()
    assert owner.post("/wallet/sign-out").status_code == 303
    assert not owner.is_signed_in()
    assert owner.cookie is None
    assert not thief.is_signed_in()
    # The owner comes back, sees one browser, and the thief is still outside.
    assert owner.show_passkey("sign_in", key).status_code == 200
    assert len(devices(shop.deps, shop.session, owner.wallet_id)) == 1
    assert not thief.is_signed_in()


def test_a_copied_cookie_is_signed_out_from_another_device(shop: World) -> None:
    phone, laptop, thief = Reader(shop), Reader(shop), Reader(shop, "203.0.113.9")
    phone.open_wallet()
    laptop.enter_code(phone.make_recovery_code())
    thief.cookie = str(phone.cookie)
    assert laptop.post("/wallet/devices/sign-out", device=phone.session_id).status_code == 303
    assert [one.is_signed_in() for one in (phone, laptop, thief)] == [False, True, False]


def test_all_others_are_signed_out_and_no_other_wallet_is_touched(shop: World) -> None:
    first, second, third, stranger = (Reader(shop) for _ in range(4))
    first.open_wallet()
    stranger.open_wallet()
    code = first.make_recovery_code()
    for one in (second, third):
        one.enter_code(code)
    page = first.get("/wallet/security").text
    assert page.count("Firefox on Linux") == 2 * 2
    assert page.count("This browser") == 1
    assert second.post("/wallet/devices/sign-out-others").status_code == 303
    signed_in = [one.is_signed_in() for one in (first, second, third, stranger)]
    assert signed_in == [False, True, False, True]


def test_a_copied_cookie_is_not_confirmed_with_its_owner(shop: World) -> None:
    for prove in (_by_code, _by_passkey, _by_new_passkey):
        owner, thief = Reader(shop), Reader(shop, "203.0.113.9")
        owner.open_wallet()
        proof = prove(owner)
        shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
        thief.cookie = str(owner.cookie)
        waits = holder_of(shop, thief)
        assert proof().status_code < 400
        assert is_confirmed(shop.deps, shop.session, holder_of(shop, owner))
        assert owner.is_signed_in()
        assert not thief.is_signed_in()
        # Nor is a request that was let in a moment before its owner's.
        assert not is_confirmed(shop.deps, shop.session, waits)
        for act in (mark_verified, lambda _deps, *rest: renew_cookie(*rest)):
            with pytest.raises(SignInRequired), write_transaction(shop.session):
                act(shop.deps, shop.session, waits)


def _by_code(owner: Reader) -> Callable[[], TestResponse]:
    code = owner.make_recovery_code()
    return lambda: owner.post("/wallet/confirm", code=code)


def _by_passkey(owner: Reader) -> Callable[[], TestResponse]:
    key = owner.add_passkey()
    return lambda: owner.show_passkey("confirm", key)


def _by_new_passkey(owner: Reader) -> Callable[[], TestResponse]:
    def add() -> TestResponse:
        credential = Authenticator(PUBLIC_URL).create(owner.options("register"))
        return owner.call("/wallet/passkeys", {"credential": credential})

    return add


def test_a_copied_cookie_locks_nobody_out(shop: World) -> None:
    owner, thief = Reader(shop), Reader(shop, "203.0.113.9")
    owner.open_wallet()
    code = owner.make_recovery_code()
    second = Reader(shop)
    second.enter_code(code)
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    thief.cookie = str(owner.cookie)
    for path, form in (
        ("/wallet/devices/sign-out-others", {}),
        ("/wallet/devices/sign-out", {"device": second.session_id}),
    ):
        answer = thief.post(path, referer="/wallet/security", **form)
        assert answer.headers["Location"] == "/wallet/confirm?next=%2Fwallet%2Fsecurity"
    assert second.is_signed_in()
    second.post("/wallet/confirm", code=code)
    assert second.post("/wallet/devices/sign-out-others").status_code == 303
    assert not thief.is_signed_in()


def test_nobody_signs_out_the_browser_of_another_wallet(shop: World) -> None:
    reader, stranger = Reader(shop), Reader(shop)
    reader.open_wallet()
    stranger.open_wallet()
    stranger.post("/wallet/devices/sign-out", device=reader.session_id)
    assert reader.is_signed_in()
    own = reader.post("/wallet/devices/sign-out", device=reader.session_id)
    assert own.status_code == 422
    assert reader.is_signed_in()


def test_forms_of_other_sites_do_nothing(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    form = reader.recovery_form()
    evil = "https://evil.example"
    for path in (
        "/wallet/sign-out",
        "/wallet/devices/sign-out",
        "/wallet/devices/sign-out-others",
        "/wallet/sign-in",
        "/wallet/confirm",
        "/wallet/recovery",
        "/wallet/passkeys/remove",
    ):
        answer = reader.post(path, evil, understood="1", form=form, code="x")
        assert answer.status_code == 403, path
        assert "origin_not_allowed" in answer.text
    for path, body in (
        ("/wallet/passkeys/options", {"purpose": "register"}),
        ("/wallet/passkeys", {"credential": {}}),
        ("/wallet/passkeys/sign-in", {"credential": {}}),
        ("/wallet/passkeys/confirm", {"credential": {}}),
        ("/wallet/gift/challenge", {}),
        ("/wallet/gift", {"payload": "x"}),
    ):
        answer = reader.call(path, body, evil)
        assert answer.status_code == 403, path
        assert answer.get_json()["code"] == "origin_not_allowed"
    assert reader.is_signed_in()


def test_a_wallet_that_nothing_else_opens_is_not_left_by_accident(shop: World) -> None:
    reader, other = Reader(shop), Reader(shop)
    reader.open_wallet()
    other.open_wallet()
    code = other.make_recovery_code()
    assert reader.post("/wallet/sign-out").status_code == 422
    mine = reader.wallet_id
    refused = reader.enter_code(code)
    assert refused.status_code == 422
    assert "Nothing but this browser opens" in refused.text
    assert reader.wallet_id == mine
    assert reader.is_signed_in()
    # Nothing of the attempt is left: no session was opened.
    assert len(devices(shop.deps, shop.session, other.wallet_id)) == 1
    assert 'name="understood"' in reader.get("/wallet/sign-in").text
    assert reader.enter_code(code, understood="on").status_code == 303
    assert reader.wallet_id == other.wallet_id
    assert devices(shop.deps, shop.session, mine) == []


def test_signing_in_again_leaves_no_second_device(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    code = reader.make_recovery_code()
    before = reader.session_id
    assert reader.enter_code(code).status_code == 303
    [device] = devices(shop.deps, shop.session, reader.wallet_id)
    assert device.session_id == reader.session_id != before


def test_a_deleted_wallet_opens_for_nobody(shop: World) -> None:
    reader = Reader(shop)
    wallet_id = reader.open_wallet()
    key, code = reader.add_passkey(), reader.make_recovery_code()
    with write_transaction(shop.session) as session:
        session.get_one(Wallet, wallet_id).closed_at = shop.clock()
    assert not reader.is_signed_in()
    refused = Reader(shop).enter_code(code)
    assert (refused.status_code, "is not valid" in refused.text) == (403, True)
    assert Reader(shop).show_passkey("sign_in", key).status_code == 404
    with pytest.raises(UnknownWallet), write_transaction(shop.session):
        open_session(shop.deps, shop.session, wallet_id, "x", verified=True)


def test_seen_at_is_written_once_an_hour_and_renews_the_cookie(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    began = shop.clock()
    shop.clock.pass_time(SEEN_EVERY_S - 1)
    assert "Set-Cookie" not in reader.get("/wallet/security").headers
    assert row_of(shop, reader).seen_at == began
    shop.clock.pass_time(1)
    before = reader.cookie
    assert "Set-Cookie" in reader.get("/wallet/security").headers
    assert reader.cookie == before
    assert row_of(shop, reader).seen_at == shop.clock()
    # Signing out is not undone by the renewal.
    reader.add_passkey()
    shop.clock.pass_time(SEEN_EVERY_S)
    reader.post("/wallet/sign-out")
    assert reader.cookie is None


def test_a_browser_that_was_away_too_long_is_signed_out(shop: World) -> None:
    reader = Reader(shop)
    wallet_id = reader.open_wallet()
    shop.clock.pass_time(SESSION_AGE_S)
    assert reader.is_signed_in()
    shop.clock.pass_time(SESSION_AGE_S + 1)
    assert not reader.is_signed_in()
    assert devices(shop.deps, shop.session, wallet_id) == []


def test_a_clock_that_jumps_ahead_and_back_signs_nobody_out(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    now = shop.clock()
    shop.clock.now = now + 10 * SESSION_AGE_S
    assert not reader.is_signed_in()
    shop.clock.now = now
    assert reader.is_signed_in()
    shop.clock.now = now - 10 * SESSION_AGE_S
    assert reader.is_signed_in()
    # A time of the future does not stay in the list.
    assert row_of(shop, reader).seen_at == shop.clock()


def test_confirmation_counts_for_five_minutes(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    deps, session = shop.deps, shop.session
    # Nothing to show yet: nothing is asked for, however old the session is.
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    require_confirmation(deps, session, holder_of(shop, reader))
    reader.make_recovery_code()
    require_confirmation(deps, session, holder_of(shop, reader))
    shop.clock.pass_time(CONFIRMATION_AGE_S)
    require_confirmation(deps, session, holder_of(shop, reader))
    shop.clock.pass_time(1)
    with pytest.raises(ConfirmationRequired):
        require_confirmation(deps, session, holder_of(shop, reader))


def test_a_clock_set_back_confirms_nothing(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    code = reader.make_recovery_code()
    shop.clock.now -= 86_400
    assert not is_confirmed(shop.deps, shop.session, holder_of(shop, reader))
    assert reader.post("/wallet/confirm", code=code).status_code == 303
    assert is_confirmed(shop.deps, shop.session, holder_of(shop, reader))


def test_one_browsers_confirmation_is_not_anothers(shop: World) -> None:
    reader, other = Reader(shop), Reader(shop)
    reader.open_wallet()
    code = reader.make_recovery_code()
    other.enter_code(code)
    form = other.recovery_form()
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    assert reader.post("/wallet/confirm", code=code).status_code == 303
    assert is_confirmed(shop.deps, shop.session, holder_of(shop, reader))
    assert not is_confirmed(shop.deps, shop.session, holder_of(shop, other))
    answer = other.post("/wallet/recovery", referer="/wallet/security", form=form)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/wallet/confirm?next=%2Fwallet%2Fsecurity"


def test_pages_lead_to_the_sign_in_and_back(sqlite_world: World) -> None:
    stranger = Reader(sqlite_world)
    answer = stranger.get("/wallet/security?done=code")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/wallet/sign-in?next=%2Fwallet%2Fsecurity%3Fdone%3Dcode"
    page = stranger.get(answer.headers["Location"])
    assert 'name="next" value="/wallet/security?done=code"' in page.text
    json = stranger.call("/wallet/passkeys/options", {"purpose": "register"})
    assert (json.status_code, json.get_json()["code"]) == (401, "sign_in_required")


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/wallet\\..\\evil",
        "/walletevil",
        "javascript:alert(1)",
        "/wallet/\n/evil",
        "/wallet/" + "x" * 6_000,
        "",
    ],
)
def test_the_way_back_is_ours(sqlite_world: World, wanted: str) -> None:
    reader = Reader(sqlite_world)
    reader.open_wallet()
    code = reader.make_recovery_code()
    answer = Reader(sqlite_world).enter_code(code, next=wanted)
    assert answer.headers["Location"] == "/wallet"


def test_the_way_back_keeps_the_query(sqlite_world: World) -> None:
    reader = Reader(sqlite_world)
    reader.open_wallet()
    code = reader.make_recovery_code()
    wanted = "/wallet/connect?item=it_1&origin=https%3A%2F%2Fblog.example"
    assert Reader(sqlite_world).enter_code(code, next=wanted).headers["Location"] == wanted


def test_pages_run_our_scripts_alone_and_are_kept_nowhere(sqlite_world: World) -> None:
    reader = Reader(sqlite_world)
    reader.open_wallet()
    for path in ("/wallet/sign-in", "/wallet/confirm", "/wallet/security"):
        answer = reader.get(path)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"script-src 'self'", "connect-src 'self'", "default-src 'none'"} <= set(policy)
        assert {"form-action 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert not re.search(r"<script(?![^>]* src=)| on[a-z]+=|<style| style=", answer.text)
    shown = reader.post("/wallet/recovery", form=reader.recovery_form())
    assert "script-src" not in shown.headers["Content-Security-Policy"]
    assert shown.headers["Cache-Control"] == "no-store"


def test_names_of_browsers(sqlite_world: World) -> None:
    agents = {
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0": "Firefox on Linux",
        "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0": (
            "Edge on Windows"
        ),
        "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36": (
            "Chrome on Android"
        ),
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Safari/604.1": (
            "Safari on iPhone"
        ),
        "curl/8.0": "A browser",
        "": "A browser",
    }
    for agent, label in agents.items():
        with sqlite_world.app.test_request_context(headers={"User-Agent": agent}):
            assert device_label() == label


def test_leaving_nothing_is_no_trouble(shop: World) -> None:
    with write_transaction(shop.session):
        leave_wallet(shop.deps, shop.session, None, understood=False)
    reader = Reader(shop)
    reader.open_wallet()
    with pytest.raises(InvalidRequest), write_transaction(shop.session):
        leave_wallet(shop.deps, shop.session, holder_of(shop, reader), understood=False)
    assert reader.is_signed_in()


def test_signing_out_twice_keeps_the_first_time(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    times = []
    for _ in range(2):
        with write_transaction(shop.session):
            revoke_session(shop.deps, shop.session, reader.wallet_id, reader.session_id)
        query = select(WalletSession.revoked_at).where(WalletSession.id == reader.session_id)
        times.append(shop.session.scalar(query))
        shop.session.rollback()
        shop.clock.pass_time(5)
    assert times[0] == times[1]
    assert_nothing_lost(shop)


def test_sessions_are_forgotten_a_month_after_they_ended(shop: World) -> None:
    reader, other = Reader(shop), Reader(shop)
    reader.open_wallet()
    key = reader.add_passkey()
    other.show_passkey("sign_in", key)
    other.post("/wallet/sign-out")
    shop.clock.pass_time(KEPT_S)
    assert forget_signed_out_sessions(shop.deps, shop.session) == 0
    # Even in the far future only what was signed out goes.
    shop.clock.pass_time(10 * SESSION_AGE_S)
    assert forget_signed_out_sessions(shop.deps, shop.session) == 1
    shop.clock.pass_time(-10 * SESSION_AGE_S)
    assert reader.is_signed_in()


def test_the_jobs_that_forget_are_run(sqlite_world: World) -> None:
    names = {job.name for job in all_jobs(sqlite_world.deps)}
    assert {"one_time_codes", "gift_addresses", "wallet_sessions"} <= names
