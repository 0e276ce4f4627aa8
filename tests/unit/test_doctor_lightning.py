"""The doctor and a Lightning node: in good health, and with everything that goes wrong.

The nodes are the recorded ones of the contract suite.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.models.catalog import Merchant
from bitcache_server.rails.lightning.registry import BACKENDS, FAKES
from bitcache_server.services.diagnose import diagnose
from bitcache_server.services.diagnose_lightning import mend_of
from bitcache_server.services.findings import Finding
from bitcache_server.settings import load_settings
from tests.contract.lightning_worlds.cln import RecordedCln
from tests.contract.lightning_worlds.lnd import RecordedLnd
from tests.contract.lightning_worlds.phoenixd import RecordedPhoenixd
from tests.contract.lightning_worlds.recorded import Answer, Certificate, RecordedNode
from tests.support.cli import write_config
from tests.support.databases import Databases, open_engine

NODES: dict[str, type[RecordedNode]] = {
    "lnd": RecordedLnd,
    "cln": RecordedCln,
    "phoenixd": RecordedPhoenixd,
}
Diagnose = Callable[..., dict[str, Finding]]


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with databases.fresh("sqlite") as fresh:
        yield fresh


@pytest.fixture
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RecordedNode]:
    made = NODES[getattr(request, "param", "lnd")](tmp_path)
    yield made
    made.stop()


@pytest.fixture
def diagnosed(
    tmp_path: Path, url: str, node: RecordedNode, monkeypatch: pytest.MonkeyPatch
) -> Diagnose:
    """Return the findings by name, for a server that uses the node; keywords change settings."""
    monkeypatch.setenv("BITCACHE_CONFIG", str(write_config(tmp_path, database_url=url)))

    def run(**changes: Any) -> dict[str, Finding]:
        settings = {
            "rails": ["lightning"],
            "lightning_backend": node.backend,
            "lightning_url": node.url,
            "lightning_secret": node.invoice_secret,
            "lightning_payout_secret": node.payout_secret,
            "lightning_certificate": node.certificate.pem if node.tls else "",
            "lightning_timeout_s": 10,
        }
        deps = wiring.build(load_settings(**(settings | changes)))
        try:
            return {finding.name: finding for finding in diagnose(deps)}
        finally:
            if (backend := wiring_backend(deps)) is not None:
                backend.close()

    return run


def wiring_backend(deps: Any) -> Any:
    return getattr(deps.rails.get("lightning"), "backend", None)


def _is_problem(finding: Finding, code: str, *words: str) -> None:
    assert (finding.level, finding.code) == ("problem", code)
    for word in words:
        assert word in finding.mend


every_node = pytest.mark.parametrize("node", sorted(NODES), indirect=True)


@every_node
def test_a_node_in_good_health(diagnosed: Diagnose, node: RecordedNode) -> None:
    found = diagnosed()
    assert found["lightning"].level == "ok"
    assert "receive and pay" in found["lightning"].found
    assert found["lightning room"].level == "ok"
    assert "lightning payouts" not in found
    assert "lightning secrets" not in found


def test_a_backend_that_can_do_everything_gets_no_remark(
    diagnosed: Diagnose, node: RecordedNode
) -> None:
    assert "lightning abilities" not in diagnosed()


@pytest.mark.parametrize("node", ["phoenixd"], indirect=True)
def test_what_phoenixd_lacks_is_said(diagnosed: Diagnose, node: RecordedNode) -> None:
    words = diagnosed()["lightning abilities"].found
    for lack in ("rounded up", "no limit", "asked for"):
        assert lack in words
    assert "does not tell" in diagnosed()["lightning room"].found


@every_node
def test_a_node_that_is_off(diagnosed: Diagnose, node: RecordedNode) -> None:
    node.stop()
    _is_problem(diagnosed()["lightning"], "lightning_unreachable", "Start", "lightning_url")


@pytest.mark.parametrize("node", ["cln", "lnd"], indirect=True)
def test_a_wrong_certificate(diagnosed: Diagnose, node: RecordedNode) -> None:
    found = diagnosed(lightning_certificate=Certificate.make().pem)
    _is_problem(found["lightning"], "lightning_certificate", "BITCACHE_LIGHTNING_CERTIFICATE_FILE")
    found = diagnosed(lightning_certificate="")
    _is_problem(found["lightning"], "lightning_certificate", "BITCACHE_LIGHTNING_CERTIFICATE_FILE")


@pytest.mark.parametrize(
    ("node", "words"),
    [("lnd", "macaroon"), ("cln", "rune"), ("phoenixd", "http-password-limited-access")],
    indirect=["node"],
)
def test_a_wrong_secret(diagnosed: Diagnose, node: RecordedNode, words: str) -> None:
    found = diagnosed(lightning_secret=node.unknown_secret)
    _is_problem(found["lightning"], "lightning_unauthorized", words)
    assert node.unknown_secret not in str(found)


@pytest.mark.parametrize(
    ("node", "words"), [("lnd", "bakemacaroon"), ("cln", "createrune")], indirect=["node"]
)
def test_a_secret_that_may_not_make_invoices(
    diagnosed: Diagnose, node: RecordedNode, words: str
) -> None:
    found = diagnosed(lightning_secret=node.narrow_secret)
    _is_problem(found["lightning"], "lightning_permission", words)


@every_node
def test_a_payout_secret_that_may_not_pay(diagnosed: Diagnose, node: RecordedNode) -> None:
    found = diagnosed(lightning_payout_secret=node.invoice_secret)
    _is_problem(found["lightning"], "lightning_permission")
    assert "lightning_payout_secret" in found["lightning"].found
    assert found["lightning secrets"].code == "lightning_secret_wide"


@every_node
def test_a_payout_secret_of_another_node(diagnosed: Diagnose, node: RecordedNode) -> None:
    found = diagnosed(lightning_payout_secret=node.unknown_secret)
    _is_problem(found["lightning"], "lightning_unauthorized")
    assert "lightning_payout_secret" in found["lightning"].found


@every_node
def test_without_a_payout_secret_nothing_is_paid_out(
    diagnosed: Diagnose, node: RecordedNode
) -> None:
    found = diagnosed(lightning_payout_secret="")
    assert found["lightning"].level == "ok"
    assert "not asked to pay" in found["lightning"].found
    assert (found["lightning payouts"].level, found["lightning payouts"].code) == (
        "warning",
        "no_payout_secret",
    )


@every_node
def test_another_network(diagnosed: Diagnose, node: RecordedNode) -> None:
    found = diagnosed(network="signet")
    _is_problem(found["lightning"], "lightning_wrong_network", "network")
    assert "'regtest'" in found["lightning"].found


@every_node
def test_something_else_at_the_address(diagnosed: Diagnose, node: RecordedNode) -> None:
    node.mood.nonsense = True
    _is_problem(diagnosed()["lightning"], "lightning_rejected", "lightning_backend")


@pytest.mark.parametrize(
    ("room_msat", "level"), [(0, "problem"), (5_000_000, "warning"), (20_000_000, "ok")]
)
def test_the_room_for_payments(
    diagnosed: Diagnose, node: RecordedNode, room_msat: int, level: str
) -> None:
    node.node.set_funds(1_000_000, room_msat)
    found = diagnosed()["lightning room"]
    assert (found.level, found.code) == (level, "ok" if level == "ok" else "no_inbound_room")
    assert "1,000 sats of its own" in found.found


def test_lightning_without_a_node_sells_for_nobody(diagnosed: Diagnose) -> None:
    _is_problem(
        diagnosed(lightning_backend="")["lightning"], "no_lightning_backend", "Lightning address"
    )


def test_lightning_without_a_node_sells_for_those_with_an_address(
    diagnosed: Diagnose, url: str
) -> None:
    engine = open_engine(url)
    with Session(engine) as session:
        session.add(Merchant(id="me_1", name="J", lightning_address="j@pay.example", created_at=0))
        session.commit()
    engine.dispose()
    found = diagnosed(lightning_backend="")["lightning"]
    assert (found.level, "1 merchant is paid" in found.found) == ("ok", True)


def test_a_merchant_without_an_onchain_wallet_is_paid_over_lightning(
    diagnosed: Diagnose, url: str
) -> None:
    engine = open_engine(url)
    with Session(engine) as session:
        session.add(Merchant(id="me_1", name="J", created_at=0))
        session.commit()
    engine.dispose()
    rails = {"rails": ["lightning", "onchain"]}
    found = diagnosed(**rails)["wallets"]
    assert (found.level, found.code) == ("warning", "no_descriptor")
    assert "over Lightning alone" in found.found
    assert diagnosed(**rails, lightning_backend="")["wallets"].level == "problem"


def test_a_backend_that_no_rail_uses(diagnosed: Diagnose) -> None:
    found = diagnosed(rails=["fake"])["lightning"]
    assert (found.level, found.code) == ("warning", "lightning_off")
    assert "lightning" not in diagnosed(rails=["fake"], lightning_backend="")


@pytest.mark.parametrize("node", ["phoenixd"], indirect=True)
def test_a_password_without_encryption_to_another_machine(
    diagnosed: Diagnose, node: RecordedNode
) -> None:
    found = diagnosed(lightning_url="http://node.invalid:9740", lightning_timeout_s=1)
    assert found["lightning secrets"].code == "lightning_plain_http"


@pytest.mark.parametrize(
    "answer", [Answer(404, "<html>nginx</html>"), Answer(404, ""), Answer(200, "hi")]
)
@every_node
def test_another_web_server_at_the_address(
    diagnosed: Diagnose, node: RecordedNode, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(node, "answer", lambda call: answer)
    found = diagnosed()["lightning"]
    _is_problem(found, "lightning_rejected", "lightning_url")
    assert f"is not {node.backend}: asked for /" in found.found
    assert "getinfo" in found.found
    assert "<" not in found.found


def test_a_certificate_for_another_name_ends_in_one_point(
    diagnosed: Diagnose, node: RecordedNode
) -> None:
    found = diagnosed(lightning_url=node.url.replace("127.0.0.1", "localhost"))["lightning"]
    _is_problem(found, "lightning_certificate")
    assert found.found.endswith("'localhost'.")


def test_a_relay_that_is_away(diagnosed: Diagnose) -> None:
    connection = f"nostr+walletconnect://{'ab' * 32}?relay=ws://127.0.0.1:9&secret={'cd' * 32}"
    found = diagnosed(
        lightning_backend="nwc",
        lightning_url=connection,
        lightning_secret="",
        lightning_payout_secret="",
        lightning_timeout_s=1,
    )
    _is_problem(found["lightning"], "lightning_unreachable", "relay")
    assert "cd" * 32 not in str(found)


@pytest.mark.parametrize(
    "changes",
    [
        {"lightning_url": ""},
        {"lightning_url": "http://127.0.0.1:8080"},
        {"lightning_url": "https://ada:geheimes-wort@127.0.0.1:8080"},
        {"lightning_url": "https://127.0.0.1:0x50"},
        {"lightning_secret": "not hex, geheimes-wort"},
        {"lightning_payout_secret": "not hex, geheimes-wort"},
        {"lightning_certificate": "/etc/ssl/geheimes-wort.pem"},
    ],
)
def test_settings_that_cannot_be_right_stop_the_start(
    diagnosed: Diagnose, changes: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        diagnosed(**changes)
    assert next(iter(changes)) in caught.value.detail
    assert "geheimes-wort" not in caught.value.detail


@pytest.mark.parametrize("name", sorted(set(BACKENDS) - FAKES))
def test_every_backend_has_words_of_its_own(name: str) -> None:
    """Whoever adds a backend says how to mend the two things that everybody gets wrong."""
    for code in ("lightning_unreachable", "lightning_unauthorized"):
        assert mend_of(name, code) != mend_of("another", code), (name, code)


def test_every_error_of_every_backend_has_something_to_do() -> None:
    for backend in (*BACKENDS, "another"):
        for code in ("unreachable", "unauthorized", "permission", "certificate", "rejected"):
            assert len(mend_of(backend, f"lightning_{code}")) > 20
    assert "log" in mend_of("lnd", "something_new")
