"""The main job through HTTP, on both databases, with the scripted rail."""

from tests.support.world import LOCKED, World, sha256_challenge


def test_reader_pays_and_reads(world: World) -> None:
    item = world.get(f"/v1/items/{world.article_id}").get_json()
    assert item["price"]["fiat"] == {"currency": "USD", "amount_minor": 5, "exponent": 2}
    assert item["price"]["amount_msat"] == 5_000_000
    assert item["rails"] == ["fake"]
    purchase = world.buy()
    assert purchase.invoice["state"] == "open"
    assert world.claim(purchase).get_json()["code"] == "invoice_not_paid"
    world.pay(purchase)
    assert world.read(purchase)["state"] == "paid"
    grant = world.grant(purchase)
    answer = world.get(f"/v1/content/{world.article_id}", grant)
    assert answer.get_json()["html"] == LOCKED
    assert answer.headers["Cache-Control"] == "no-store"
    world.mine()
    assert world.read(purchase)["payments"][0]["confirmations"] == 1
    world.assert_books_balance()


def test_challenge_is_rfc_7636(world: World) -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert sha256_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    body = {"item": world.article_id, "challenge": sha256_challenge(verifier), "rail": "fake"}
    invoice = world.post("/v1/invoices", body).get_json()
    answer = world.post(f"/v1/invoices/{invoice['id']}/claim", {"verifier": verifier})
    assert answer.get_json()["code"] == "invoice_not_paid"


def test_file_downloads_with_ranges(world: World) -> None:
    purchase = world.buy(world.file_id)
    world.pay(purchase)
    link = world.post(f"/v1/files/{world.file_id}/link", {}, world.grant(purchase)).get_json()
    path = link["url"].removeprefix("https://pay.example")
    with world.client.get(path) as whole:
        assert whole.data == bytes(range(256)) * 400
    with world.client.get(path, headers={"Range": "bytes=100-199"}) as part:
        assert part.status_code == 206
        assert part.data == whole.data[100:200]
        assert "attachment" in part.headers["Content-Disposition"]
    world.clock.pass_time(3600)
    assert world.client.get(path).get_json()["code"] == "link_expired"


def test_nobody_pays_for_a_file_that_vanished(world: World) -> None:
    (world.deps.settings.files_dir / "song.ogg").unlink()
    assert world.get(f"/v1/items/{world.file_id}").get_json()["rails"] == []
    body = {"item": world.file_id, "challenge": sha256_challenge("v" * 43), "rail": "fake"}
    refused = world.post("/v1/invoices", body)
    assert (refused.status_code, refused.get_json()["code"]) == (404, "file_missing")
