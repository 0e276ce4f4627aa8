"""Two operators for a large payout: who counts, who does not, and what one can stop."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bitcache_server.domain.errors import (
    ApprovalRefused,
    InvalidRequest,
    PayoutNotWaiting,
    UnknownPayout,
)
from bitcache_server.ledger import chart
from bitcache_server.models.payouts import Operator
from bitcache_server.models.session import write_transaction
from bitcache_server.services.payout_approvals import (
    add_operator,
    approvals_of,
    approve_payout,
    cancel_payout,
    list_operators,
    reject_payout,
    remove_operator,
)
from bitcache_server.services.payout_health import check_payouts
from tests.support.books import open_wallet
from tests.support.payouts import (
    assert_payouts_sound,
    payout_of,
    send,
    states,
    together,
    withdraw,
)
from tests.support.shops import held, opened_world
from tests.support.world import World

OWN_MSAT = 900_000_000


@dataclass
class Team:
    """A shop with two operators, in which more than 50,000 sat need both."""

    shop: World
    secrets: dict[str, str]

    def approve(self, payout_id: str, name: str, secret: str | None = None) -> None:
        shop = self.shop
        with write_transaction(shop.session):
            word = self.secrets[name] if secret is None else secret
            approve_payout(shop.deps, shop.session, payout_id, name, word)

    def reject(self, payout_id: str, name: str, secret: str | None = None) -> None:
        shop = self.shop
        with write_transaction(shop.session):
            word = self.secrets[name] if secret is None else secret
            reject_payout(shop.deps, shop.session, payout_id, name, word, "Too odd.")

    def cancel(self, payout_id: str) -> None:
        with write_transaction(self.shop.session):
            cancel_payout(self.shop.deps, self.shop.session, payout_id)

    def add(self, name: str) -> None:
        with write_transaction(self.shop.session):
            self.secrets[name] = add_operator(self.shop.deps, self.shop.session, name).secret

    def remove(self, name: str) -> None:
        with write_transaction(self.shop.session):
            remove_operator(self.shop.deps, self.shop.session, name)

    def findings(self) -> list[str]:
        found = [finding.code for finding in check_payouts(self.shop.deps, self.shop.session)]
        self.shop.session.rollback()
        return found


@pytest.fixture
def team(tmp_path: Path, database_url: str) -> Iterator[Team]:
    with opened_world(tmp_path, database_url, payout_approval_above_sat=50_000) as world:
        world.rail.fund(1_000_000_000)
        open_wallet(world.session, balance_msat=OWN_MSAT)
        made = Team(world, {})
        made.add("ada")
        made.add("bob")
        yield made
        assert_payouts_sound(world)


def test_two_of_them_let_it_go(team: Team) -> None:
    asked = withdraw(team.shop, 50_001)
    assert team.findings() == ["ok", "approval_needed"]
    assert send(team.shop) == 0
    team.approve(asked, "ada")
    assert send(team.shop) == 0
    team.approve(asked, "bob")
    assert states(team.shop, asked) == ["waiting"]
    assert send(team.shop) == 1
    approved = approvals_of(team.shop.session, asked)
    assert {approval.operator for approval in approved} == {"ada", "bob"}


def test_up_to_the_limit_nobody_is_asked(team: Team) -> None:
    assert states(team.shop, withdraw(team.shop, 50_000)) == ["waiting"]


def test_small_pieces_add_up(team: Team) -> None:
    first, second = withdraw(team.shop, 30_000), withdraw(team.shop, 20_001, key="2")
    assert states(team.shop, first, second) == ["waiting", "approval"]
    # One that waits for approval makes no later, smaller one wait as well.
    assert states(team.shop, withdraw(team.shop, 20_000, key="3")) == ["waiting"]
    team.approve(second, "ada")
    team.approve(second, "bob")
    assert states(team.shop, withdraw(team.shop, 5_000, key="4")) == ["approval"]
    team.shop.clock.pass_time(86_400)
    assert states(team.shop, withdraw(team.shop, 5_000, key="5")) == ["waiting"]


def test_the_same_operator_twice(team: Team) -> None:
    asked = withdraw(team.shop, 60_000)
    team.approve(asked, "ada")
    with pytest.raises(ApprovalRefused, match="another operator"):
        team.approve(asked, "ada")
    assert states(team.shop, asked) == ["approval"]


def test_two_clicks_of_one_operator_at_once(team: Team) -> None:
    asked = withdraw(team.shop, 60_000)

    def click(_: int) -> bool:
        try:
            team.approve(asked, "ada")
        except ApprovalRefused:
            return False
        return True

    assert sum(together(team.shop, 4, click)) == 1
    assert states(team.shop, asked) == ["approval"]


@pytest.mark.parametrize("secret", ["", "bcop_wrong", "ada", "\x00", "ü"])
def test_a_wrong_secret(team: Team, secret: str) -> None:
    asked = withdraw(team.shop, 60_000)
    for attempt in (team.approve, team.reject):
        with pytest.raises(ApprovalRefused):
            attempt(asked, "ada", secret)
    with pytest.raises(ApprovalRefused):
        team.approve(asked, "ada", team.secrets["bob"])
    with pytest.raises(ApprovalRefused):
        team.approve(asked, "nobody", secret)
    assert states(team.shop, asked) == ["approval"]


def test_a_removed_operator_approves_nothing(team: Team) -> None:
    asked = withdraw(team.shop, 60_000)
    team.approve(asked, "ada")
    team.remove("ada")
    with pytest.raises(ApprovalRefused):
        team.approve(asked, "ada")
    team.approve(asked, "bob")
    assert states(team.shop, asked) == ["approval"], "what a removed one said counts no more"
    assert team.findings() == ["ok", "operators_missing"]
    team.add("eve")
    team.approve(asked, "eve")
    assert states(team.shop, asked) == ["waiting"]


def test_a_name_is_one_person_for_ever(team: Team) -> None:
    team.remove("ada")
    for name in ("ada", "bob", "", " ", "x" * 65, "a\nb"):
        with pytest.raises(InvalidRequest):
            team.add(name)
    for name in ("ada", "nobody"):
        with pytest.raises(InvalidRequest):
            team.remove(name)
    operators = list_operators(team.shop.session)
    assert [(o.name, o.removed_at is None) for o in operators] == [("ada", False), ("bob", True)]


def test_secrets_are_not_stored(team: Team) -> None:
    stored = team.shop.session.get_one(Operator, "ada").secret_hash
    team.shop.session.rollback()
    assert team.secrets["ada"].startswith("bcop_")
    assert team.secrets["ada"] not in stored
    assert len(team.secrets["ada"]) == 48


def test_one_operator_stops_it(team: Team) -> None:
    asked = withdraw(team.shop, 60_000)
    team.approve(asked, "ada")
    team.reject(asked, "bob")
    payout = payout_of(team.shop, asked)
    assert (payout.state, payout.reason) == ("rejected", "Rejected by bob: Too odd.")
    assert held(team.shop, chart.wallet("wa_1")) == OWN_MSAT
    for decide in (team.approve, team.reject):
        with pytest.raises(PayoutNotWaiting):
            decide(asked, "bob")
    with pytest.raises(PayoutNotWaiting):
        team.cancel(asked)


def test_after_it_was_taken_back(team: Team) -> None:
    asked = withdraw(team.shop, 60_000)
    team.approve(asked, "ada")
    team.cancel(asked)
    with pytest.raises(PayoutNotWaiting):
        team.approve(asked, "bob")
    assert held(team.shop, chart.wallet("wa_1")) == OWN_MSAT
    assert send(team.shop) == 0


def test_what_needs_no_approval_takes_none(team: Team) -> None:
    asked = withdraw(team.shop, 20_000)
    for attempt in (team.approve, team.reject):
        with pytest.raises(PayoutNotWaiting):
            attempt(asked, "ada")
    with pytest.raises(UnknownPayout):
        team.approve("po_unknown", "ada")


def test_yes_and_no_at_once(team: Team) -> None:
    """Either it goes or the money is back, never both."""
    asked = withdraw(team.shop, 60_000)
    team.approve(asked, "ada")

    def decide(number: int) -> bool:
        try:
            (team.approve if number else team.reject)(asked, "bob")
        except PayoutNotWaiting:
            return False
        return True

    assert sum(together(team.shop, 2, decide)) == 1
    state = payout_of(team.shop, asked).state
    back = held(team.shop, chart.wallet("wa_1")) == OWN_MSAT
    assert (state, back) in {("waiting", False), ("rejected", True)}
