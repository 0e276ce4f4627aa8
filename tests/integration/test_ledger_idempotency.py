"""Same key and request, same answer; in the same transaction as the effect."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import IdempotencyConflict, InvalidRequest
from bitcache_server.ledger import recipes
from bitcache_server.ledger.idempotency import Remembered, purge, remember, request_hash
from bitcache_server.models.session import write_transaction
from tests.support.books import NOW, balances_of, count_rows, open_wallet

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def ask(session: Session, key: str, request: str, produce: Callable[[], Any]) -> Remembered:
    with write_transaction(session):
        return remember(session, "st_1", key, request, produce, NOW)


def test_the_second_call_gets_the_first_answer(session: Session) -> None:
    answers = iter([{"id": "in_1", "list": (1, 2)}, {"id": "in_2"}])
    first = ask(session, "k", "hash", lambda: next(answers))
    assert first == Remembered({"id": "in_1", "list": [1, 2]}, replayed=False)
    assert ask(session, "k", "hash", lambda: next(answers)) == Remembered(first.result, True)
    # The second answer was not even made.
    assert next(answers) == {"id": "in_2"}


def test_another_request_with_the_key_is_refused(session: Session) -> None:
    ask(session, "k", "hash", dict)
    with pytest.raises(IdempotencyConflict):
        ask(session, "k", "other", dict)


def test_owners_do_not_share_keys(session: Session) -> None:
    ask(session, "k", "hash", dict)
    with write_transaction(session):
        assert not remember(session, "st_2", "k", "other", dict, NOW).replayed


def test_what_fails_leaves_neither_key_nor_effect(session: Session) -> None:
    open_wallet(session)

    def fail() -> dict[str, Any]:
        recipes.give_starter_credit(session, "wa_1", 5, NOW)
        raise InvalidRequest("after the effect")

    with pytest.raises(InvalidRequest, match="after the effect"):
        ask(session, "k", "hash", fail)
    assert count_rows(session).keys == 0
    assert balances_of(session, "gift:wa_1") == (0,)
    assert not ask(session, "k", "hash", dict).replayed


def test_a_key_that_is_used_twice_at_once_has_one_effect(
    new_session: Callable[[], Session],
) -> None:
    """The second caller begins while the first one's transaction is still open."""
    with new_session() as session:
        open_wallet(session)
    entered, produced = threading.Event(), []

    def slowly(session: Session) -> dict[str, str]:
        produced.append(1)
        entered.set()
        # Long enough for the other thread to arrive and wait; it cannot pass.
        threading.Event().wait(0.3)
        recipes.give_starter_credit(session, "wa_1", 5, NOW)
        return {"made": "once"}

    answers: list[Remembered] = []

    def call() -> None:
        with new_session() as session:
            answers.append(ask(session, "k", "hash", lambda: slowly(session)))

    threads = [threading.Thread(target=call), threading.Thread(target=call)]
    threads[0].start()
    assert entered.wait(60)
    threads[1].start()
    for thread in threads:
        thread.join(120)

    assert sorted(answer.replayed for answer in answers) == [False, True]
    assert [answer.result for answer in answers] == [{"made": "once"}] * 2
    assert len(produced) == 1
    with new_session() as session:
        assert balances_of(session, "gift:wa_1") == (5,)


def test_old_keys_can_be_forgotten(session: Session) -> None:
    for age, key in enumerate(["new", "old", "older"]):
        with write_transaction(session):
            remember(session, "st_1", key, "hash", dict, NOW - age)
    with write_transaction(session):
        assert purge(session, older_than=NOW) == 2
    assert ask(session, "new", "hash", dict).replayed
    assert not ask(session, "old", "other", dict).replayed


def test_the_order_of_keys_makes_no_difference() -> None:
    left = request_hash("POST", "/v1/invoices", {"item": "it_1", "rail": None})
    assert left == request_hash("POST", "/v1/invoices", {"rail": None, "item": "it_1"})


def test_the_hash_is_stored_for_ever_and_never_changes() -> None:
    assert request_hash("POST", "/v1/invoices", {"item": "é", "n": 1}) == (
        "06beb72d824c73a6aa68cadfb8e3e7627fe3f73e17c106adef4aa68bee4b2b7b"
    )


@given(JSON, JSON)
def test_different_requests_have_different_hashes(left: Any, right: Any) -> None:
    # JSON's own idea of equality: 1 and True differ, (1) and [1] do not.
    assert (request_hash(left) == request_hash(right)) == (repr_of(left) == repr_of(right))


def repr_of(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{k!r}:{repr_of(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(repr_of, value)) + "]"
    return repr(value)


@given(st.text(), st.text(), st.text(), st.text())
def test_parts_cannot_run_into_each_other(a: str, b: str, c: str, d: str) -> None:
    assert (request_hash(a, b) == request_hash(c, d)) == ((a, b) == (c, d))
