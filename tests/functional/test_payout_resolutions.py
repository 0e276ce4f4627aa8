"""Two operators end a payout whose node is gone for good, and a node that comes back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bitcache_server.domain.errors import (
    ApprovalRefused,
    BitcacheError,
    InvalidRequest,
    LightningUnreachable,
    PayoutKnown,
    PayoutNodeSilent,
    PayoutNotWaiting,
    PayoutUnderWay,
    PreimageWrong,
    UnknownPayout,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutLookup, PreparedPayout
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_approvals import remove_operator
from bitcache_server.services.payout_contradictions import ASK_AGAIN_S, take_note
from bitcache_server.services.payout_health import LONG_AFTER_S, check_payouts, payout_health
from bitcache_server.services.payout_resolutions import Ending, resolve_payout, words_about
from bitcache_server.services.payout_singles import SENDING_S
from bitcache_server.services.payout_views import operator_payout_view
from bitcache_server.services.payouts import get_payout
from bitcache_server.services.withdraw_claims import claim, claim_terms
from bitcache_server.services.withdraw_links import create_link
from tests.support.lightning_payouts import (
    AMOUNT_MSAT,
    BALANCE_MSAT,
    RESERVE_MSAT,
    asked,
    last_hash,
    own_msat,
    pay_out,
    payout_shop,
    recorded_payments,
    withdraw_to,
)
from tests.support.lightning_world import LightningWorld
from tests.support.operators import Operators
from tests.support.payouts import batches, payout_of, states, together
from tests.support.shops import held, transfers

PAID = Ending(True, "The payee has it.")
FAILED = Ending(False, "The channel was closed before.")


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[LightningWorld]:
    with payout_shop(tmp_path, database_url) as world:
        yield world


@pytest.fixture
def team(shop: LightningWorld) -> Operators:
    return Operators(shop)


def _say(
    team: Operators, payout_id: str, name: str, ending: Ending, deps: Deps | None = None
) -> None:
    secret, shop = team.secret(name), team.shop
    try:
        resolve_payout(deps or shop.deps, shop.session, payout_id, name, secret, ending)
    finally:
        shop.session.rollback()


def _both_say(team: Operators, payout_id: str, ending: Ending) -> None:
    for name in ("ada", "bob"):
        _say(team, payout_id, name, ending)


def _without_node(shop: LightningWorld) -> Deps:
    """Return what a server has whose node was taken out of the settings."""
    settings = shop.deps.settings.model_copy(update={"lightning_backend": ""})
    return replace(shop.deps, settings=settings)


def _lost(shop: LightningWorld) -> str:
    """Have a payment under way at a node that is replaced."""
    payout_id = asked(shop, Outcome.PENDING)
    pay_out(shop)
    shop.lightning.forget(last_hash(shop))
    return payout_id


def _comes_back(shop: LightningWorld, outcome: Outcome, fee_msat: int = 0) -> None:
    """Let the first node be back, with what became of the payment there."""
    [batch] = batches(shop)
    prepared = PreparedPayout(batch.reference, batch.raw, batch.amount_msat, RESERVE_MSAT)
    shop.lightning.plan_payment(outcome, fee_msat)
    shop.lightning_rail.send_payout(prepared)
    shop.clock.pass_time(ASK_AGAIN_S)


def _findings(shop: LightningWorld) -> list[str]:
    found = [finding.code for finding in check_payouts(shop.deps, shop.session)]
    shop.session.rollback()
    return found


def test_two_who_say_that_it_failed_give_the_money_back(
    shop: LightningWorld, team: Operators
) -> None:
    payout_id = _lost(shop)
    _say(team, payout_id, "ada", FAILED)
    assert states(shop, payout_id) == ["sending"]
    assert own_msat(shop) == BALANCE_MSAT - AMOUNT_MSAT - RESERVE_MSAT
    shop.clock.pass_time(60)
    _say(team, payout_id, "bob", FAILED)
    failed = payout_of(shop, payout_id)
    assert failed.state == "failed"
    assert failed.reason == f"The operators found that it failed: {FAILED.reason}"
    assert own_msat(shop) == BALANCE_MSAT
    [batch] = batches(shop)
    assert batch.detail == f"ada and bob said that it failed. {FAILED.reason}"
    now = shop.clock()
    said = [
        (w.operator, w.settled, w.reason, w.said_at) for w in words_about(shop.session, payout_id)
    ]
    assert said == [("ada", False, FAILED.reason, now - 60), ("bob", False, FAILED.reason, now)]
    view = operator_payout_view(shop.session, get_payout(shop.session, payout_id))
    assert [word.operator for word in view.words] == ["ada", "bob"]
    with pytest.raises(PayoutNotWaiting):
        _say(team, payout_id, "eve", FAILED)


@pytest.mark.parametrize("fee_msat", [0, 1_234, RESERVE_MSAT, RESERVE_MSAT + 5])
def test_two_who_say_that_it_was_paid_book_it_as_the_node_would(
    shop: LightningWorld, team: Operators, fee_msat: int
) -> None:
    payout_id = _lost(shop)
    _both_say(team, payout_id, replace(PAID, fee_msat=fee_msat))
    back_msat = max(0, RESERVE_MSAT - fee_msat)
    paid = payout_of(shop, payout_id)
    assert (paid.state, paid.fee_returned_msat) == ("settled", back_msat)
    assert own_msat(shop) == BALANCE_MSAT - AMOUNT_MSAT - RESERVE_MSAT + back_msat
    assert held(shop, chart.clearing("lightning")) == AMOUNT_MSAT + fee_msat
    assert len(transfers(shop, Kind.PAYOUT)) == 1


def test_a_preimage_needs_no_other_reason_and_must_fit(
    shop: LightningWorld, team: Operators
) -> None:
    payout_id = asked(shop, Outcome.PENDING)
    pay_out(shop)
    shop.lightning.finish(last_hash(shop), Outcome.SETTLED)
    preimage = shop.lightning.lookup_payment(last_hash(shop)).preimage
    shop.lightning.forget(last_hash(shop))
    for wrong in ("ab" * 32, last_hash(shop), "zz" * 32, preimage[:-1], "\x00"):
        with pytest.raises(PreimageWrong):
            _say(team, payout_id, "ada", Ending(True, preimage=wrong))
    with pytest.raises(PreimageWrong):
        _say(team, payout_id, "ada", replace(PAID, reference="ab" * 32))
    assert words_about(shop.session, payout_id) == []
    shop.session.rollback()
    _say(team, payout_id, "ada", Ending(True, preimage=f" {preimage.upper()}\n"))
    _say(team, payout_id, "bob", PAID)
    assert states(shop, payout_id) == ["settled"]
    assert words_about(shop.session, payout_id)[0].preimage == preimage


@pytest.mark.parametrize(
    "ending",
    [
        Ending(True),
        Ending(False, " "),
        Ending(False, "x", preimage="ab" * 32),
        Ending(False, "x", fee_msat=1),
        Ending(False, "x", reference="ab" * 32),
        Ending(True, "x", fee_msat=AMOUNT_MSAT + RESERVE_MSAT + 1),
    ],
)
def test_what_makes_no_sense(shop: LightningWorld, team: Operators, ending: Ending) -> None:
    payout_id = _lost(shop)
    with pytest.raises(InvalidRequest):
        _say(team, payout_id, "ada", ending)
    assert words_about(shop.session, payout_id) == []
    shop.session.rollback()


@pytest.mark.parametrize("outcome", [Outcome.PENDING, Outcome.SETTLED, Outcome.FAILED])
def test_what_the_node_knows_is_not_for_people_to_end(
    shop: LightningWorld, team: Operators, outcome: Outcome
) -> None:
    payout_id = asked(shop, Outcome.PENDING)
    pay_out(shop)
    if outcome is not Outcome.PENDING:
        shop.lightning.finish(last_hash(shop), outcome)
    for ending in (PAID, FAILED):
        with pytest.raises(PayoutKnown, match=outcome.value):
            _say(team, payout_id, "ada", ending)
    assert states(shop, payout_id) == ["sending"]


def test_the_second_word_asks_the_node_again(shop: LightningWorld, team: Operators) -> None:
    payout_id = _lost(shop)
    _say(team, payout_id, "ada", FAILED)
    _comes_back(shop, Outcome.SETTLED)
    with pytest.raises(PayoutKnown):
        _say(team, payout_id, "bob", FAILED)
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]


def test_a_node_that_is_only_silent_may_come_back(shop: LightningWorld, team: Operators) -> None:
    payout_id = _lost(shop)
    shop.lightning.fail_with(LightningUnreachable("Nothing listens."))
    with pytest.raises(PayoutNodeSilent, match="Nothing listens"):
        _say(team, payout_id, "ada", FAILED)
    without_rail = replace(shop.deps, rails={})
    with pytest.raises(PayoutNodeSilent, match="to the rails"):
        _say(team, payout_id, "ada", FAILED, without_rail)
    for name in ("ada", "bob"):
        _say(team, payout_id, name, FAILED, _without_node(shop))
    assert states(shop, payout_id) == ["failed"]
    shop.lightning.fail_with(None)


class Killed(BaseException):
    """The process ends here."""


def _called(shop: LightningWorld, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a process die in the middle of a call to the node."""

    def die(_: PreparedPayout) -> Outcome:
        raise Killed

    payout_id = asked(shop, Outcome.SETTLED)
    with monkeypatch.context() as patch:
        patch.setattr(shop.lightning_rail, "send_payout", die)
        with pytest.raises(Killed):
            pay_out(shop)
    return payout_id


def test_while_a_call_may_be_under_way_nobody_ends_it(
    shop: LightningWorld, team: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = _called(shop, monkeypatch)
    gone = _without_node(shop)
    shop.clock.pass_time(SENDING_S - 1)
    with pytest.raises(PayoutUnderWay, match="five minutes"):
        _say(team, payout_id, "ada", FAILED, gone)
    shop.clock.pass_time(1)
    for name in ("ada", "bob"):
        _say(team, payout_id, name, FAILED, gone)
    assert states(shop, payout_id) == ["failed"]
    with recorded_payments(shop, monkeypatch) as orders:
        pay_out(shop)
        assert orders == [], "what was given back is never sent"


def test_what_the_jobs_end_by_themselves_is_left_to_them(
    shop: LightningWorld, team: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = _called(shop, monkeypatch)
    for wait_s in (SENDING_S, 4_200):
        shop.clock.pass_time(wait_s)
        with pytest.raises(PayoutUnderWay, match="by themselves"):
            _say(team, payout_id, "ada", FAILED)
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]


def test_a_call_to_a_node_that_was_replaced_is_theirs_to_end(
    shop: LightningWorld, team: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = asked(shop, Outcome.SETTLED, key="earlier")
    pay_out(shop)
    payment_hash = last_hash(shop)
    payout_id = _called(shop, monkeypatch)
    shop.clock.pass_time(SENDING_S)
    with pytest.raises(PayoutUnderWay, match="by themselves"):
        _say(team, payout_id, "ada", FAILED)
    shop.lightning.forget(payment_hash)
    _both_say(team, payout_id, FAILED)
    assert states(shop, earlier, payout_id) == ["settled", "failed"]


def test_what_became_known_while_the_node_was_asked_counts(
    shop: LightningWorld, team: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = _lost(shop)
    ask = shop.lightning_rail.lookup_payout

    def slow(prepared: PreparedPayout) -> PayoutLookup:
        found = ask(prepared)
        monkeypatch.undo()
        _comes_back(shop, Outcome.SETTLED)
        pay_out(shop)
        return found

    _say(team, payout_id, "ada", FAILED)
    monkeypatch.setattr(shop.lightning_rail, "lookup_payout", slow)
    with pytest.raises(PayoutUnderWay, match="meanwhile"):
        _say(team, payout_id, "bob", FAILED)
    assert states(shop, payout_id) == ["settled"]


def test_only_a_lightning_payment_under_way_is_ended(shop: LightningWorld, team: Operators) -> None:
    shop.rail.fund(1_000_000_000)
    waiting = asked(shop, Outcome.SETTLED)
    onchain = withdraw_to(shop, "fake:ada", 20_000, key="chain")
    for payout_id in (waiting, onchain):
        with pytest.raises(PayoutNotWaiting, match="waiting"):
            _say(team, payout_id, "ada", PAID)
    pay_out(shop)
    with pytest.raises(PayoutNotWaiting, match="settled"):
        _say(team, waiting, "ada", PAID)
    with pytest.raises(UnknownPayout):
        _say(team, "po_unknown", "ada", PAID)


def test_who_may_say_it(shop: LightningWorld, team: Operators) -> None:
    payout_id = _lost(shop)
    for name, secret in (("ada", "wrong"), ("nobody", ""), ("bob", team.secret("ada"))):
        with pytest.raises(ApprovalRefused):
            resolve_payout(shop.deps, shop.session, payout_id, name, secret, FAILED)
    _say(team, payout_id, "ada", FAILED)
    with pytest.raises(ApprovalRefused, match="another operator"):
        _say(team, payout_id, "ada", replace(FAILED, reason="Really."))
    with write_transaction(shop.session):
        remove_operator(shop.deps, shop.session, "ada")
    _say(team, payout_id, "bob", FAILED)
    assert states(shop, payout_id) == ["sending"], "what a removed one said counts no more"
    _say(team, payout_id, "eve", FAILED)
    assert states(shop, payout_id) == ["failed"]


def test_they_must_say_the_same_and_may_change_their_mind(
    shop: LightningWorld, team: Operators
) -> None:
    payout_id = _lost(shop)
    _say(team, payout_id, "ada", FAILED)
    _say(team, payout_id, "bob", PAID)
    _say(team, payout_id, "eve", replace(PAID, fee_msat=7))
    assert states(shop, payout_id) == ["sending"]
    _say(team, payout_id, "ada", replace(PAID, fee_msat=7))
    assert states(shop, payout_id) == ["settled"]
    assert len(words_about(shop.session, payout_id)) == 4
    shop.session.rollback()


def test_everybody_at_once_ends_it_once(shop: LightningWorld, team: Operators) -> None:
    payout_id = _lost(shop)
    names = ["ada", "bob", "eve", "dan"]
    for name in names:
        team.secret(name)

    def say(number: int) -> bool:
        try:
            _say(team, payout_id, names[number], PAID if number % 2 else FAILED)
        except BitcacheError:
            return False
        return True

    # Whoever is second with the same word ends it; who comes later is refused.
    assert 2 <= sum(together(shop, 4, say)) <= 3
    assert states(shop, payout_id)[0] in ("settled", "failed")
    assert len(transfers(shop, Kind.PAYOUT)) + len(transfers(shop, Kind.RELEASE)) == 1


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [(FAILED, Outcome.SETTLED), (FAILED, Outcome.PENDING), (PAID, Outcome.FAILED)],
)
def test_a_node_that_comes_back_and_says_otherwise_is_reported_and_never_booked(
    shop: LightningWorld, team: Operators, ending: Ending, outcome: Outcome
) -> None:
    payout_id = _lost(shop)
    _both_say(team, payout_id, ending)
    pay_out(shop)
    before = (states(shop, payout_id), own_msat(shop), held(shop, chart.clearing("lightning")))
    assert _findings(shop) == ["ok"]
    _comes_back(shop, outcome)
    for _ in range(2):
        pay_out(shop)
        assert _findings(shop) == ["payout_contradicted"]
        now = (states(shop, payout_id), own_msat(shop), held(shop, chart.clearing("lightning")))
        assert now == before
    health = payout_health(shop.deps, shop.session)
    assert (payout_id in health.detail, outcome.value in health.detail) == (True, True)
    shop.session.rollback()
    with pytest.raises(ApprovalRefused):
        take_note(shop.deps, shop.session, payout_id, "ada", "wrong")
    with write_transaction(shop.session):
        take_note(shop.deps, shop.session, payout_id, "ada", team.secrets["ada"])
    assert _findings(shop) == ["ok"]
    with pytest.raises(PayoutNotWaiting), write_transaction(shop.session):
        take_note(shop.deps, shop.session, payout_id, "ada", team.secrets["ada"])
    if outcome is Outcome.PENDING:
        shop.lightning.finish(last_hash(shop), Outcome.SETTLED)
        shop.clock.pass_time(ASK_AGAIN_S)
        pay_out(shop)
        assert _findings(shop) == ["payout_contradicted"], "that is news"


@pytest.mark.parametrize(("ending", "outcome"), [(FAILED, Outcome.FAILED), (PAID, Outcome.SETTLED)])
def test_a_node_that_comes_back_and_agrees_is_no_news(
    shop: LightningWorld, team: Operators, ending: Ending, outcome: Outcome
) -> None:
    payout_id = _lost(shop)
    _both_say(team, payout_id, ending)
    _comes_back(shop, outcome)
    pay_out(shop)
    assert _findings(shop) == ["ok"]
    assert len(transfers(shop, Kind.PAYOUT)) == (outcome is Outcome.SETTLED)


def test_a_node_that_comes_back_and_names_another_fee_is_reported(
    shop: LightningWorld, team: Operators
) -> None:
    payout_id = _lost(shop)
    _both_say(team, payout_id, replace(PAID, fee_msat=7))
    _comes_back(shop, Outcome.SETTLED, fee_msat=9)
    pay_out(shop)
    assert _findings(shop) == ["payout_contradicted"]
    assert "a fee of 9 msat" in payout_health(shop.deps, shop.session).detail
    shop.session.rollback()
    assert held(shop, chart.clearing("lightning")) == AMOUNT_MSAT + 7
    with write_transaction(shop.session):
        take_note(shop.deps, shop.session, payout_id, "ada", team.secrets["ada"])
    shop.clock.pass_time(ASK_AGAIN_S)
    pay_out(shop)
    assert _findings(shop) == ["ok"]


def test_the_node_is_not_asked_all_the_time(
    shop: LightningWorld, team: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    _both_say(team, _lost(shop), FAILED)
    asks: list[str] = []
    ask = shop.lightning.lookup_payment

    def counted(payment_hash: str) -> object:
        asks.append(payment_hash)
        return ask(payment_hash)

    monkeypatch.setattr(shop.lightning, "lookup_payment", counted)
    for wait_s in (0, 1, ASK_AGAIN_S - 2, 1, -1_000_000, 0):
        shop.clock.pass_time(wait_s)
        pay_out(shop)
    assert len(asks) == 3, "at first, when the time has come, after the clock was put back"


def test_a_link_is_on_offer_again(shop: LightningWorld, team: Operators) -> None:
    link = create_link(
        shop.deps,
        shop.session,
        "wa_1",
        amount_sat=1_000,
        fee_msat=10_000,
        lifetime_s=86_400,
        idempotency_key="link",
    )
    invoice = shop.lightning.foreign_invoice(1_000_000)
    k1 = claim_terms(shop.deps, shop.session, link.secret).k1
    claim(shop.deps, shop.session, link.secret, k1, invoice)
    shop.lightning.plan_payment(Outcome.PENDING)
    pay_out(shop)
    shop.lightning.forget(last_hash(shop))
    _both_say(team, link.payout_id, FAILED)
    assert states(shop, link.payout_id) == ["offered"]
    again = claim_terms(shop.deps, shop.session, link.secret)
    assert again.k1 != k1
    claim(shop.deps, shop.session, link.secret, again.k1, shop.lightning.foreign_invoice(1_000_000))
    pay_out(shop)
    assert states(shop, link.payout_id) == ["settled"]


def test_an_address_is_not_tried_again(
    shop: LightningWorld, team: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The people who ended it did not ask for another payment."""
    payout_id = withdraw_to(shop, "ada@wallet.example", 20_000)
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    made = type("Made", (), {"bolt11": invoice})
    monkeypatch.setattr(
        shop.lightning_rail._payouts.lnurl, "request_invoice", lambda *_, **__: made
    )
    shop.lightning.plan_payment(Outcome.PENDING)
    pay_out(shop)
    shop.lightning.forget(last_hash(shop))
    _both_say(team, payout_id, FAILED)
    assert states(shop, payout_id) == ["failed"]
    assert own_msat(shop) == BALANCE_MSAT


def test_what_is_under_way_for_long_is_told_with_the_command(
    shop: LightningWorld, team: Operators
) -> None:
    payout_id = asked(shop, Outcome.PENDING)
    pay_out(shop)
    shop.clock.pass_time(LONG_AFTER_S)
    assert _findings(shop) == ["ok"]
    shop.clock.pass_time(1)
    [finding] = check_payouts(shop.deps, shop.session)
    shop.session.rollback()
    assert (finding.code, finding.level) == ("payouts_under_way_long", "warning")
    assert f"bitcache payout resolve {payout_id}" in finding.mend
    shop.lightning.finish(last_hash(shop), Outcome.SETTLED)
    pay_out(shop)
    assert _findings(shop) == ["ok"]


def test_a_node_that_may_not_pay_any_more_neither_frees_nor_sends(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes the secret that pays out of the settings changes nothing of what is out."""
    payout_id = _lost(shop)
    abilities = replace(shop.lightning.abilities, pays=False)
    with monkeypatch.context() as patch, recorded_payments(shop, patch) as orders:
        patch.setattr(ScriptedBackend, "abilities", abilities)
        shop.clock.pass_time(40 * 86_400)
        pay_out(shop)
        assert orders == []
    assert states(shop, payout_id) == ["sending"]
    assert own_msat(shop) == BALANCE_MSAT - AMOUNT_MSAT - RESERVE_MSAT
