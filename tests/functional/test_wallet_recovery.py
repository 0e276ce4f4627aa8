"""The recovery code: made once, shown once, guessed never."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from limits import parse_many
from sqlalchemy import select

from bitcache_server.models.wallets import RecoveryCode
from bitcache_server.services.recovery import ALPHABET, GROUP_CHARS, GROUPS
from bitcache_server.services.wallets import CONFIRMATION_AGE_S, devices
from bitcache_server.settings import Settings
from tests.support.api import open_world
from tests.support.shops import assert_nothing_lost
from tests.support.wallet_browser import Reader
from tests.support.world import World


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a world that does not count the tries."""
    with open_world(database_url, tmp_path, limit_recoveries_per_address="999/minute") as made:
        yield made
        assert_nothing_lost(made)


def test_a_code_signs_in_on_a_new_device_and_again(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    code = reader.make_recovery_code()
    for _ in range(2):
        other = Reader(shop)
        assert other.enter_code(code).status_code == 303
        assert other.wallet_id == reader.wallet_id
        assert other.is_signed_in()
    assert reader.is_signed_in()
    assert len(devices(shop.deps, shop.session, reader.wallet_id)) == 3


def test_a_code_has_enough_in_it_and_is_not_stored(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    code = reader.make_recovery_code()
    assert re.fullmatch(r"(?:[0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}", code)
    assert (len(set(ALPHABET)), GROUPS * GROUP_CHARS * 5) == (32, 140)
    shop.session.rollback()
    row = shop.session.scalars(select(RecoveryCode)).one()
    plain = code.replace("-", "")
    assert plain not in "".join(str(value) for value in vars(row).values())
    assert plain[:4] not in reader.get("/wallet/security").text


def test_a_code_may_be_typed_in_any_way(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    code = reader.make_recovery_code()
    plain = code.replace("-", "")
    misread = plain.replace("0", "o").replace("1", "l")
    wide = "".join(chr(ord(c) + 0xFEE0) for c in plain)
    for text in (
        plain,
        code.lower(),
        f"  {code.replace('-', chr(0x2013))}\n",
        " ".join(plain),
        misread,
        misread.upper().replace("L", "I"),
        wide,
        f"“{code}”.",
    ):
        other = Reader(shop)
        assert other.enter_code(text).status_code == 303, text
        assert other.wallet_id == reader.wallet_id


def test_what_is_no_code_says_no_more_than_that(shop: World) -> None:
    reader, deleted = Reader(shop), Reader(shop)
    reader.open_wallet()
    deleted.open_wallet()
    code = reader.make_recovery_code()
    last = code[-1]
    replaced = reader.make_recovery_code()
    code, old = replaced, code
    near = code[:-1] + ("0" if code[-1] != "0" else "1")
    pages = set()
    for text in (near, old, code[:-1], code + last, "", "x", "U" * 28, "9" * 50_000):
        answer = Reader(shop).enter_code(text)
        assert answer.status_code == 403, text
        assert "Set-Cookie" not in answer.headers
        pages.add(answer.text)
    assert len(pages) == 1


def test_a_new_code_replaces_the_old(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    old = reader.make_recovery_code()
    new = reader.make_recovery_code()
    assert Reader(shop).enter_code(old).status_code == 403
    assert Reader(shop).enter_code(new).status_code == 303


def test_a_thousand_tries_get_nowhere_and_lock_nobody_else_out(
    start_world: Callable[..., World],
) -> None:
    world = start_world(limit_recoveries_per_address="5/minute;60/hour")
    reader = Reader(world)
    reader.open_wallet()
    code = reader.make_recovery_code()
    thief = Reader(world, "203.0.113.9")
    answers = [thief.enter_code(f"{number:028d}").status_code for number in range(1_000)]
    assert set(answers) == {403, 429}
    assert answers.count(403) <= 5 * 2
    assert answers[-1] == 429
    # The thief's address is shut even with the right code; the owner's is open.
    assert thief.enter_code(code).status_code == 429
    assert thief.cookie is None
    owner = Reader(world, "192.0.2.1")
    assert owner.enter_code(code).status_code == 303
    assert reader.is_signed_in()


def test_tries_to_confirm_count_as_well(start_world: Callable[..., World]) -> None:
    world = start_world(limit_recoveries_per_address="3/day")
    thief = Reader(world)
    thief.open_wallet()
    thief.make_recovery_code()
    answers = [thief.post("/wallet/confirm", code="x").status_code for _ in range(5)]
    assert answers == [403, 403, 403, 429, 429]


def test_strangers_at_the_same_address_keep_nobody_from_confirming(
    start_world: Callable[..., World],
) -> None:
    world = start_world(limit_recoveries_per_address="3/day")
    reader, stranger = Reader(world), Reader(world)
    reader.open_wallet()
    code = reader.make_recovery_code()
    tries = [stranger.enter_code("x").status_code for _ in range(5)]
    assert tries == [403, 403, 403, 429, 429]
    assert reader.post("/wallet/confirm", code=code).status_code == 303


def test_a_busy_address_is_not_shut_for_a_day() -> None:
    limits = Settings.model_fields["limit_recoveries_per_address"].default
    assert max(limit.get_expiry() for limit in parse_many(limits)) <= 3_600


def test_a_lost_answer_loses_no_wallet(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    before = str(reader.cookie)
    reader.make_recovery_code()
    # The page with the code never arrived, nor did anything that came with it.
    reader.cookie = before
    assert Reader(shop).enter_code(reader.make_recovery_code()).status_code == 303


def test_who_has_kept_the_code_leaves_copies_of_the_cookie_behind(shop: World) -> None:
    owner, thief = Reader(shop), Reader(shop, "203.0.113.9")
    owner.open_wallet()
    thief.cookie = str(owner.cookie)
    owner.make_recovery_code()
    answer = owner.post("/wallet/recovery/kept")
    assert answer.headers["Location"] == "/wallet/security"
    assert owner.is_signed_in()
    assert not thief.is_signed_in()
    # Later there is nothing to take from a copy, and the cookie stays.
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    assert "Set-Cookie" not in owner.post("/wallet/recovery/kept").headers
    assert owner.is_signed_in()


def test_a_neighbour_of_the_same_ipv6_network_counts_as_the_thief(
    start_world: Callable[..., World],
) -> None:
    world = start_world(limit_recoveries_per_address="3/day")
    tries = [Reader(world, f"2001:db8:1:2::{n:x}").enter_code("x").status_code for n in range(5)]
    assert tries == [403, 403, 403, 429, 429]
    assert Reader(world, "2001:db8:1:3::1").enter_code("x").status_code == 403


def test_the_code_of_another_wallet_confirms_nothing(shop: World) -> None:
    reader, other = Reader(shop), Reader(shop)
    reader.open_wallet()
    other.open_wallet()
    mine, theirs = reader.make_recovery_code(), other.make_recovery_code()
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    refused = reader.post("/wallet/confirm", code=theirs, next="/wallet/security")
    assert refused.status_code == 403
    assert "Confirm that it is me" in reader.get("/wallet/security").text
    assert reader.post("/wallet/confirm", code=mine).headers["Location"] == "/wallet/security"
    assert "Confirm that it is me" not in reader.get("/wallet/security").text


def test_a_new_code_needs_the_old_one_or_a_passkey(shop: World) -> None:
    thief, owner = Reader(shop), Reader(shop)
    owner.open_wallet()
    code = owner.make_recovery_code()
    form = owner.recovery_form()
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    thief.cookie = str(owner.cookie)
    answer = thief.post("/wallet/recovery", form=form)
    assert answer.headers["Location"].startswith("/wallet/confirm")
    assert Reader(shop).enter_code(code).status_code == 303
    # The refused form was not used up.
    owner.post("/wallet/confirm", code=code)
    assert owner.post("/wallet/recovery", form=form).status_code == 200


@pytest.mark.parametrize("form", ["", "nonsense", "sent before", "of another wallet", "too old"])
def test_a_form_sent_again_replaces_no_code(shop: World, form: str) -> None:
    reader, other = Reader(shop), Reader(shop)
    reader.open_wallet()
    other.open_wallet()
    sent = reader.recovery_form()
    old = reader.recovery_form()
    code = reader.post("/wallet/recovery", form=sent)
    assert code.status_code == 200
    shop.session.rollback()
    before = shop.session.scalars(select(RecoveryCode.code_hash)).one()
    forms = {"sent before": sent, "of another wallet": other.recovery_form(), "too old": old}
    if form == "too old":
        shop.clock.pass_time(3_600)
    answer = reader.post("/wallet/recovery", form=forms.get(form, form))
    assert answer.headers["Location"] == "/wallet/security?done=code"
    shop.session.rollback()
    assert shop.session.scalars(select(RecoveryCode.code_hash)).one() == before
