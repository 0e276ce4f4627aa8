"""Which pages may read the answers (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from werkzeug.test import TestResponse

from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchants import add_site
from tests.support.api import assert_problem, assert_refused, call
from tests.support.world import ORIGIN, PUBLIC_URL, World, sha256_challenge

OTHER = "https://other.example"
CHALLENGE = sha256_challenge("v" * 43)
STRANGERS = (
    "null", "https://evil.example", "https://blog.example.evil", "https://blog.example:444",
    "http://blog.example", "https://sub.blog.example", "https://blog.example/", "*", "",
    "x" * 9_000,
    "https://BLOG.example", "https://blog.example, https://evil.example", "https://bl\xf6g.example",
)  # fmt: skip


def add_other_site(world: World) -> str:
    """Give the merchant a second site; return its secret."""
    with write_transaction(world.session):
        new = add_site(world.deps, world.session, world.merchant_id, "Other", [OTHER])
        return new.secret


def allowed(answer: TestResponse) -> str | None:
    """Return the origin that may read the answer, after checks that hold for all answers."""
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.vary
    return answer.headers.get("Access-Control-Allow-Origin")


def preflight(world: World, path: str, origin: str, method: str = "POST") -> TestResponse:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    return call(world, "OPTIONS", path, headers=headers)


def test_the_sites_own_pages_may_read_answers_and_errors(sqlite_world: World) -> None:
    world = sqlite_world
    own = {"Origin": ORIGIN}
    for path, status in (
        (f"/v1/items/{world.article_id}", 200),
        ("/v1/items/it_unknown", 404),
        (f"/v1/content/{world.article_id}", 401),
        ("/v1/nothing", 404),
        ("/v1/items?limit=x", 401),
    ):
        answer = call(world, "GET", path, headers=own)
        assert (answer.status_code, allowed(answer)) == (status, ORIGIN), path
        assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"
    body = b" " * (world.deps.settings.max_body_bytes + 1)
    answer = call(world, "POST", "/v1/invoices", data=body, headers=own)
    assert (answer.status_code, allowed(answer)) == (415, ORIGIN)


def test_pages_of_nobody_are_refused(sqlite_world: World) -> None:
    world = sqlite_world
    paths = [f"/v1/items/{world.article_id}", "/v1/items/it_unknown", "/v1/nothing", "/v1/grant"]
    for origin in STRANGERS:
        for path in paths:
            answer = call(world, "GET", path, headers={"Origin": origin})
            assert_problem(answer, 403, "origin_not_allowed")
            assert allowed(answer) == "*"
        assert_problem(preflight(world, paths[0], origin), 403, "origin_not_allowed")
    body = {"item": world.article_id, "challenge": CHALLENGE}
    answer = call(world, "POST", "/v1/invoices", json=body, headers={"Origin": "null"})
    assert_refused(world, answer, 403, "origin_not_allowed")


def test_without_an_origin_and_on_our_own_pages_nothing_is_named(sqlite_world: World) -> None:
    world = sqlite_world
    for headers in ({}, {"Origin": PUBLIC_URL}):
        answer = call(world, "GET", f"/v1/items/{world.article_id}", headers=headers)
        assert (answer.status_code, allowed(answer)) == (200, None)


def test_preflights(sqlite_world: World) -> None:
    for path in (
        "/v1/invoices",
        "/v1/invoices/in_x/claim",
        f"/v1/content/{sqlite_world.article_id}",
    ):
        answer = preflight(sqlite_world, path, ORIGIN)
        assert (answer.status_code, answer.data, allowed(answer)) == (204, b"", ORIGIN)
        names = answer.headers["Access-Control-Allow-Headers"].lower()
        assert set(names.split(", ")) == {"authorization", "content-type", "idempotency-key"}
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST"
        assert 0 < int(answer.headers["Access-Control-Max-Age"]) <= 7_200


def test_a_page_may_touch_only_its_own_sites_items(world: World) -> None:
    add_other_site(world)
    mine = world.buy()
    world.pay(mine)
    song = world.buy(world.file_id)
    world.pay(song)
    grant, song_grant = world.grant(mine), world.grant(song)
    verifier = {"verifier": mine.verifier}
    for method, path, token, body in (
        ("GET", f"/v1/items/{world.article_id}", None, None),
        ("POST", "/v1/invoices", None, {"item": world.article_id, "challenge": CHALLENGE}),
        ("GET", f"/v1/invoices/{mine.id}", None, None),
        ("POST", f"/v1/invoices/{mine.id}/requests", None, {"rail": "fake"}),
        ("POST", f"/v1/invoices/{mine.id}/claim", None, verifier),
        ("POST", f"/v1/invoices/{mine.id}/redeem", None, verifier),
        ("GET", f"/v1/content/{world.article_id}", grant, None),
        ("POST", f"/v1/files/{world.file_id}/link", song_grant, {}),
    ):
        for origin, status in ((OTHER, 403), (ORIGIN, None)):
            answer = call(world, method, path, token, json=body, headers={"Origin": origin})
            if status:
                assert_refused(world, answer, status, "origin_not_allowed")
            else:
                assert answer.status_code in (200, 201), answer.text


def test_a_new_site_works_at_once(sqlite_world: World) -> None:
    path = f"/v1/items/{sqlite_world.article_id}"
    assert allowed(call(sqlite_world, "GET", path, headers={"Origin": OTHER})) == "*"
    add_other_site(sqlite_world)
    answer = call(sqlite_world, "GET", path, headers={"Origin": OTHER})
    # Its pages may read that they may not sell what belongs to another site.
    assert (answer.status_code, allowed(answer)) == (403, OTHER)
