"""/dashboard/<merchant>/payouts: the balance, where it goes and when, and what went."""

import re
from pathlib import Path

import pytest

from bitcache_server.models.catalog import Merchant
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.services.members import Role
from bitcache_server.services.payout_overview import transaction_url
from tests.support.dashboard import Person, sign_in
from tests.support.lightning_world import opened_lightning_world
from tests.support.lnurl_provider import lnurl_provider
from tests.support.payouts import assert_payouts_sound, earn, states
from tests.support.world import World, make_settings

ADDRESS = "fake:ada"
OTHER = "fake:mallory"


def merchant(world: World) -> Merchant:
    world.session.rollback()
    return world.session.get_one(Merchant, world.merchant_id)


def payouts(world: World) -> list[Payout]:
    world.session.rollback()
    return world.session.query(Payout).order_by(Payout.created_at).all()


def terms(person: Person, **form: object) -> int:
    wanted = {"address": ADDRESS, "every_s": 0, "threshold_sat": 0, **form}
    return person.post("./payouts/terms", wanted).status_code


def key_of(page: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_an_owner_gives_a_destination_and_is_paid_once_however_often_the_form_is_sent(
    world: World,
) -> None:
    person = sign_in(world)
    earn(world, 50_000_000)
    assert "None yet" in person.get("./payouts").text
    assert terms(person, every_s=86_400, threshold_sat="1,000") == 303
    page = person.get("./payouts?done=terms").text
    assert ADDRESS in page
    assert "Every day" in page
    key = key_of(page)
    for _ in range(2):
        answer = person.post("./payouts/ask", {"key": key, "amount_sat": "20 000"})
        assert answer.status_code == 303, answer.text
    [payout] = payouts(world)
    assert payout.amount_msat == 20_000_000
    shown = person.get("./payouts")
    assert "20,000 sats" in shown.text
    one = person.get(f"./payouts/{payout.id}")
    assert one.status_code == 200
    assert ADDRESS in one.text
    assert_payouts_sound(world)


@pytest.mark.parametrize(
    ("every_s", "lang", "words"),
    [
        (3_600, "en", "Every hour"), (7_200, "en", "Every 2 hours"), (7_200, "ar", "كل ساعتين"),
        (10_800, "ar", "كل 3 ساعات"), (7_201, "de", "Alle 3 Stunden"),
    ],
)  # fmt: skip
def test_a_schedule_of_the_command_line_is_said_in_hours(
    sqlite_world: World, every_s: int, lang: str, words: str
) -> None:
    with write_transaction(sqlite_world.session):
        kept = sqlite_world.session.get_one(Merchant, sqlite_world.merchant_id)
        kept.payout_every_s = every_s
    assert words in sign_in(sqlite_world).get(f"./payouts?lang={lang}").text


@pytest.mark.parametrize(
    ("msat", "words"),
    [(1_000, "1 sat waits for you"), (2_000, "2 sats wait for you"), (500, "0.5 sats wait")],
)
def test_money_without_a_destination_is_spoken_of_as_one_or_many(
    sqlite_world: World, msat: int, words: str
) -> None:
    earn(sqlite_world, msat)
    assert words in sign_in(sqlite_world).get(".").text


def test_what_is_wrong_is_said_beside_what_was_typed(world: World) -> None:
    person = sign_in(world)
    answer = person.post("./payouts/terms", {"address": "nonsense", "every_s": 0})
    assert answer.status_code == 422
    assert 'value="nonsense"' in answer.text
    assert terms(person, threshold_sat="-5") == 422
    assert terms(person, every_s=10**9) == 422
    assert merchant(world).payout_address is None
    assert terms(person) == 303
    asked = person.post("./payouts/ask", {"key": "k", "amount_sat": "50000000"})
    assert asked.status_code == 409
    assert 'value="50000000"' in asked.text
    assert payouts(world) == []


def test_who_has_not_just_shown_who_they_are_sends_money_nowhere_new(world: World) -> None:
    person = sign_in(world)
    assert terms(person) == 303
    world.clock.pass_time(3_600)
    page = person.get("./payouts").text
    assert "payouts/terms" not in page
    assert "payouts/wallet" not in page
    for path in ("./payouts/terms", "./payouts/wallet"):
        answer = person.post(path, {"address": OTHER, "every_s": 0})
        assert answer.status_code == 303
        assert answer.location.startswith("/account/confirm")
    assert merchant(world).payout_address == ADDRESS


@pytest.mark.parametrize("role", [Role.EDITOR, Role.ACCOUNTANT])
def test_others_look_and_change_nothing(world: World, role: Role) -> None:
    person = sign_in(world, role)
    page = person.get("./payouts")
    assert page.status_code == 200
    assert "<form" not in page.text.split("<main")[1].split("</main>")[0]
    for path in ("./payouts/terms", "./payouts/wallet", "./payouts/ask"):
        assert person.post(path, {"address": OTHER}).status_code == 403
    assert merchant(world).payout_address is None


def test_a_change_is_in_the_log_with_what_it_was_before(world: World) -> None:
    person = sign_in(world)
    assert terms(person) == 303
    assert terms(person, address=OTHER) == 303
    assert terms(person, address=OTHER) == 303
    page = person.get("./audit").text
    assert page.count(OTHER) == 1
    assert page.count(ADDRESS) == 2


def test_readers_pay_into_a_wallet_of_the_merchants_own_and_through_us_again(
    database_url: str, tmp_path: Path
) -> None:
    with (
        lnurl_provider() as jane,
        opened_lightning_world(tmp_path, database_url, with_node=False) as shop,
    ):
        jane.node.clock = shop.clock
        person = sign_in(shop)
        wrong = person.post("./payouts/wallet", {"lightning_address": "nobody"})
        assert wrong.status_code == 422
        assert 'value="nobody"' in wrong.text
        assert merchant(shop).lightning_address is None

        kept = person.post("./payouts/wallet", {"lightning_address": jane.address})
        assert kept.status_code == 303, kept.text
        assert merchant(shop).lightning_address == jane.address
        page = person.get("./payouts").text
        assert "The money does not pass through this server" in page

        assert person.post("./payouts/wallet", {"lightning_address": ""}).status_code == 303
        assert not merchant(shop).direct
        log = person.get("./audit").text
        assert log.count("Changed the wallet that is paid directly") >= 2


def test_a_payout_of_others_is_not_there(world: World) -> None:
    person = sign_in(world)
    earn(world, 50_000_000)
    terms(person)
    person.post("./payouts/ask", {"key": "k", "amount_sat": ""})
    [payout] = payouts(world)
    assert states(world, payout.id) == ["waiting"]
    payout_id = payout.id
    with_other_owner = world.session.get_one(Payout, payout_id)
    with_other_owner.owner_account = "merchant:me_other"
    world.session.commit()
    assert person.get(f"./payouts/{payout_id}").status_code == 404
    assert payout_id not in person.get("./payouts").text


def test_transactions_can_be_looked_up_where_there_is_a_place_for_it(tmp_path: Path) -> None:
    private = make_settings(tmp_path)
    main = make_settings(tmp_path, network="mainnet")
    own = make_settings(tmp_path, explorer_url="https://chain.example/")
    assert transaction_url(private, "onchain", "ab") is None
    assert transaction_url(main, "onchain", "ab") == "https://mempool.space/tx/ab"
    assert transaction_url(own, "onchain", "ab") == "https://chain.example/ab"
    assert transaction_url(main, "lightning", "ab") is None
    assert transaction_url(main, "onchain", None) is None
