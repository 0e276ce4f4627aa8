"""/dashboard/<merchant>/settings: time zone, currency, tax rates."""

import pytest
from sqlalchemy import select

from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.sales_book import SiteTax
from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchants import add_merchant, add_site
from tests.support.dashboard import sign_in
from tests.support.world import START, World


def actions(world: World) -> list[str]:
    world.session.rollback()
    return list(world.session.scalars(select(AuditEntry.action).order_by(AuditEntry.created_at)))


def test_time_zone_and_currency(world: World) -> None:
    owner = sign_in(world)
    form: dict[str, object] = {"time_zone": "Europe/Berlin", "currency": "EUR"}
    answer = owner.post("./settings", form)
    assert (answer.status_code, answer.location) == (303, owner.path("/settings?done=saved"))
    world.session.rollback()
    merchant = world.session.get_one(Merchant, world.merchant_id)
    assert (merchant.time_zone, merchant.currency) == ("Europe/Berlin", "EUR")
    owner.post("./settings", form)
    assert actions(world) == ["merchant.settings_changed"]
    page = owner.get("./settings?done=saved").text
    assert "<option selected>Europe/Berlin</option>" in page
    assert "It is saved." in page


@pytest.mark.parametrize(
    ("zone", "currency"),
    [("Mars/Olympus", "EUR"), ("", "EUR"), ("../etc/passwd", "EUR"), ("UTC", "XXX"),
     ("UTC", "SAT"), ("a" * 65, "EUR")],
)  # fmt: skip
def test_what_there_is_not(sqlite_world: World, zone: str, currency: str) -> None:
    answer = sign_in(sqlite_world).post("./settings", {"time_zone": zone, "currency": currency})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert actions(sqlite_world) == []


def test_a_tax_rate_holds_from_now_on(world: World) -> None:
    owner = sign_in(world)
    path = f"./settings/sites/{world.site_id}/tax"
    for name, percent in (("MwSt.", "19"), ("MwSt.", "19,0 %"), ("MwSt.", "5.5"), ("", "0")):
        world.clock.pass_time(10)
        assert owner.post(path, {"name": name, "percent": percent}).status_code == 303
    world.session.rollback()
    rows = world.session.scalars(select(SiteTax).order_by(SiteTax.since)).all()
    assert [(row.since - START, row.name, row.tax_ppm) for row in rows] == [
        (10, "MwSt.", 190_000), (30, "MwSt.", 55_000), (40, "", 0),
    ]  # fmt: skip
    assert actions(world) == ["site.tax_changed"] * 3


@pytest.mark.parametrize(
    ("name", "percent"),
    [("", "19"), ("MwSt.", "-1"), ("MwSt.", "101"), ("MwSt.", "x"), ("MwSt.", "NaN"),
     ("MwSt.", "1e400"), ("MwSt.", "0.00001"), ("m" * 41, "1"), ("a\nb", "1")],
)  # fmt: skip
def test_a_rate_that_is_none_is_shown_again(sqlite_world: World, name: str, percent: str) -> None:
    path = f"./settings/sites/{sqlite_world.site_id}/tax"
    answer = sign_in(sqlite_world).post(path, {"name": name, "percent": percent})
    assert answer.status_code == 422
    assert f'value="{percent}"' in answer.text
    assert sqlite_world.session.scalars(select(SiteTax)).all() == []


def test_a_site_of_another_merchant_is_none(world: World) -> None:
    with write_transaction(world.session):
        other = add_merchant(world.deps, world.session, "Eve", None).id
        site_id = add_site(world.deps, world.session, other, "E", ["https://e.example"]).site.id
    path = f"./settings/sites/{site_id}/tax"
    assert sign_in(world).post(path, {"name": "x", "percent": "1"}).status_code == 404
