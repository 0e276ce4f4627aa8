"""/dashboard/<merchant>/webhooks: what an owner sees and does, and nobody else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bitcache_server.models.session import write_transaction
from bitcache_server.models.webhooks import WebhookEndpoint
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant
from tests.support.dashboard import Person, sign_in
from tests.support.receivers import Receiver, receiver, saying
from tests.support.webhooks import (
    deliver,
    deliveries,
    happen,
    listen,
    listening_world,
    states,
    stored,
)
from tests.support.world import World

URL = "https://shop.example/hooks"


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    with listening_world(tmp_path, database_url) as world:
        yield world


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def owner(shop: World) -> Person:
    return sign_in(shop, Role.OWNER)


def form_code(text: str) -> str:
    found = re.search(r'name="form" value="([^"]+)"', text)
    assert found
    return found[1]


def add(owner: Person, url: str, **fields: object) -> str:
    """Add an endpoint on the page and return the answer."""
    code = form_code(owner.get("./webhooks").text)
    form = {"form": code, "url": url, "description": "", "which": "all", **fields}
    return owner.post("./webhooks", form).text


def endpoints(shop: World) -> list[WebhookEndpoint]:
    shop.session.rollback()
    found = list(shop.session.scalars(select(WebhookEndpoint)))
    shop.session.expunge_all()
    shop.session.rollback()
    return found


def test_an_endpoint_is_added_and_its_secret_shown_once(
    shop: World, owner: Person, server: Receiver
) -> None:
    page = add(owner, server.url, which="some", type=["item.changed", "sale.created"])
    found = re.search(r'value="(whsec_[^"]+)"', page)
    assert found
    [made] = endpoints(shop)
    assert made.event_types == "sale.created item.changed"
    assert "whsec_" not in owner.get("./webhooks").text
    answer = owner.post(f"./webhooks/{made.id}/test", {})
    assert answer.status_code == 303
    deliver(shop)
    [one] = server.received
    assert one.verify(found[1])["type"] == "test"
    page = owner.get(answer.location).text
    assert "HTTP 200" in page
    assert "thanks" in page


def test_a_form_sent_twice_adds_one(shop: World, owner: Person) -> None:
    form = {"form": form_code(owner.get("./webhooks").text), "url": URL, "which": "all"}
    assert owner.post("./webhooks", form).status_code == 200
    again = owner.post("./webhooks", form)
    assert again.location.endswith("?done=sent")
    assert len(endpoints(shop)) == 1
    assert "sent before" in owner.get(again.location).text


def test_what_is_wrong_is_said_with_what_was_typed(shop: World, owner: Person) -> None:
    code = form_code(owner.get("./webhooks").text)
    form = {"form": code, "url": "https://10.0.0.1/x", "description": "Mine", "which": "some",
            "type": "order.paid"}  # fmt: skip
    answer = owner.post("./webhooks", form)
    assert answer.status_code == 422
    assert "https addresses on the public internet" in answer.text
    assert 'value="https://10.0.0.1/x"' in answer.text
    assert re.search(r'value="order.paid" checked', answer.text)
    assert endpoints(shop) == []


def test_paused_and_switched_on_and_what_happened_meanwhile(
    shop: World, owner: Person, server: Receiver
) -> None:
    made = listen(shop, server.url).endpoint.id
    owner.post(f"./webhooks/{made}/switch", {"enabled": "0"})
    assert "Paused" in owner.get(f"./webhooks/{made}").text
    happen(shop)
    answer = owner.post(f"./webhooks/{made}/replay", {"since": "2026-01-01T00:00"})
    assert (answer.status_code, "switched off" in answer.text) == (422, True)
    answer = owner.post(f"./webhooks/{made}/switch", {"enabled": "1"})
    assert answer.location.endswith("?done=resumed")
    for wrong in ("", "soon", "9999-99-99"):
        assert owner.post(f"./webhooks/{made}/replay", {"since": wrong}).status_code == 422
    answer = owner.post(f"./webhooks/{made}/replay", {"since": "2026-01-01T00:00"})
    # Tests are not repeated with others.
    assert answer.location.endswith("?done=nothing")


def test_changed_rotated_and_deleted(shop: World, owner: Person) -> None:
    made = listen(shop, URL)
    path = f"./webhooks/{made.endpoint.id}"
    form = {"url": "https://other.example/", "description": "B", "which": "some", "type": "test"}
    assert owner.post(f"{path}/change", form).location.endswith("?done=changed")
    now = stored(shop, made.endpoint.id)
    assert (now.url, now.description, now.event_types) == ("https://other.example/", "B", "test")
    code = form_code(owner.get(path).text)
    rotated = owner.post(f"{path}/rotate", {"form": code})
    assert "whsec_" in rotated.text
    assert made.secret not in rotated.text
    assert owner.post(f"{path}/rotate", {"form": code}).location.endswith("?done=sent")
    assert "old secret" in owner.get(path).text
    assert owner.post(f"{path}/delete", {}).location.endswith("/webhooks?done=deleted")
    assert owner.get(path).status_code == 404


def test_every_attempt_and_its_answer(shop: World, owner: Person, server: Receiver) -> None:
    made = listen(shop, server.url).endpoint.id
    server.answer = saying(500, b"<script>alert(1)</script>")
    happen(shop)
    deliver(shop)
    page = owner.get(f"./webhooks/{made}").text
    assert "Nothing but failures since" in page
    [one] = deliveries(shop)
    page = owner.get(f"./webhooks/deliveries/{one.id}").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "HTTP 500" in page
    assert "The answer was not 2xx." in page
    server.answer = saying(200)
    assert owner.post(f"./webhooks/deliveries/{one.id}/again", {}).status_code == 303
    deliver(shop)
    assert states(shop) == ["delivered"]
    page = owner.get(f"./webhooks/deliveries/{one.id}").text
    assert page.index("HTTP 200") < page.index("HTTP 500")


def test_deliveries_are_filtered_and_paged(shop: World, owner: Person, server: Receiver) -> None:
    made = listen(shop, server.url).endpoint.id
    happen(shop, 51)
    deliver(shop)
    page = owner.get(f"./webhooks/{made}").text
    found = re.search(r"before=(\d+)", page)
    assert found
    older = owner.get(f"./webhooks/{made}?before={found[1]}").text
    assert older.count("/webhooks/deliveries/") == 1
    assert "There are none." in owner.get(f"./webhooks/{made}?state=failed").text
    assert page.count("/webhooks/deliveries/") == 50


@pytest.mark.parametrize("role", [Role.EDITOR, Role.ACCOUNTANT])
def test_owners_only(shop: World, role: Role) -> None:
    made = listen(shop, URL).endpoint.id
    happen(shop)
    [one] = deliveries(shop)
    person = sign_in(shop, role)
    for path in ("", f"/{made}", f"/deliveries/{one.id}"):
        assert person.get(f"./webhooks{path}").status_code == 403
    for path in ("", f"/{made}/test", f"/{made}/delete", f"/deliveries/{one.id}/again"):
        assert person.post(f"./webhooks{path}", {}).status_code == 403
    assert states(shop) == ["waiting"]


def test_another_merchants_are_not_there(shop: World) -> None:
    made = listen(shop, URL).endpoint.id
    happen(shop)
    [one] = deliveries(shop)
    with write_transaction(shop.session):
        eve_id = add_merchant(shop.deps, shop.session, "Eve", None).id
    eve = sign_in(shop, merchant_id=eve_id)
    assert made not in eve.get("./webhooks").text
    for path in (f"/{made}", f"/deliveries/{one.id}", "/deliveries/x", "/deliveries/9" + "9" * 30):
        assert eve.get(f"./webhooks{path}").status_code == 404
    for action in ("change", "switch", "rotate", "delete", "test", "replay"):
        form = {"url": URL, "which": "all", "since": "2026-01-01T00:00"}
        code = form_code(eve.get("./webhooks").text)
        answer = eve.post(f"./webhooks/{made}/{action}", {**form, "form": code})
        assert answer.status_code == 404
    assert eve.post(f"./webhooks/deliveries/{one.id}/again", {}).status_code == 404
    now = stored(shop, made)
    assert (now.url, now.enabled, now.deleted_at, now.old_secret_sealed) == (URL, True, None, None)
