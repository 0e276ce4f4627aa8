"""What nodes answer over REST, beyond the contract suite: other versions, other words."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bitcache_server.domain.errors import (
    ConfigurationError,
    LightningPermission,
    LightningRejected,
    LightningUnauthorized,
    LightningUnreachable,
    RailError,
)
from bitcache_server.domain.money import ALL_MSAT
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning import cln, lnd, lnd_answers
from bitcache_server.rails.lightning.answers import (
    after_trouble,
    failed,
    no_such_payment,
    settled,
    unclear,
    under_way,
)
from bitcache_server.rails.lightning.backend import BackendSettings, InvoiceOrder, Sent
from bitcache_server.rails.lightning.lnd import LndBackend
from bitcache_server.rails.lightning.phoenixd import PhoenixdBackend
from bitcache_server.rails.lightning.rest import (
    MissingAnswer,
    Refusal,
    RestClient,
    json_lines,
    judge_by_status,
)
from tests.contract.lightning_worlds.cln import RecordedCln
from tests.contract.lightning_worlds.lnd import RecordedLnd
from tests.contract.lightning_worlds.phoenixd import RecordedPhoenixd
from tests.contract.lightning_worlds.recorded import Answer, Call

ORDER = InvoiceOrder("in_1", 50_000, "tea", "", 600)


class Elsewhere(RecordedLnd):
    """A node that sends its callers somewhere else."""

    calls = 0

    def answer(self, call: Call) -> Answer:
        self.calls += 1
        return Answer(302, {"payment_request": "lnbcrt1", "r_hash": ""})


class Older(RecordedLnd):
    """A node whose macaroon was baked before closing channels were asked about."""

    def answer(self, call: Call) -> Answer:
        if call.path == "/v1/channels/pending":
            return self.recording("macaroons").answer("denied")
        return super().answer(call)


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[Callable[[RecordedLnd], LndBackend]]:
    """Return a function that connects to a node."""
    made: list[tuple[RecordedLnd, LndBackend]] = []

    def connect(node: RecordedLnd) -> LndBackend:
        settings = BackendSettings(
            node.url, node.invoice_secret, node.payout_secret, node.certificate.pem, 10.0, False
        )
        made.append((node, LndBackend(settings)))
        return made[-1][1]

    yield connect
    for node, backend in made:
        backend.close()
        node.stop()


@pytest.mark.parametrize(
    ("judge", "status", "body", "kind"),
    [
        (judge_by_status, 401, "no", LightningUnauthorized),
        (judge_by_status, 403, "no", LightningPermission),
        (judge_by_status, 404, "no", MissingAnswer),
        (judge_by_status, 400, "no", Refusal),
        (judge_by_status, 500, "no", LightningRejected),
        (lnd_answers.judge, 500, {"code": 2, "message": "permission denied"}, LightningPermission),
        (lnd_answers.judge, 500, {"error": {"message": "permission denied"}}, LightningPermission),
        (
            lnd_answers.judge,
            500,
            {"code": 2, "message": "cannot get macaroon: root key with id doesn't exist"},
            LightningUnauthorized,
        ),
        (
            lnd_answers.judge,
            500,
            {"code": 2, "message": "wallet locked, unlock it to enable full RPC access"},
            LightningUnreachable,
        ),
        (lnd_answers.judge, 503, {"code": 14, "message": "gone"}, LightningUnreachable),
        (lnd_answers.judge, 500, {"code": 2, "message": "unable to locate invoice"}, MissingAnswer),
        (lnd_answers.judge, 504, {"code": 4, "message": "too late"}, LightningRejected),
        (lnd_answers.judge, 404, "<html>", LightningRejected),
        (lnd_answers.judge, 404, {"code": 5, "message": "Not Found"}, LightningRejected),
        (lnd_answers.judge, 409, {"code": 6, "message": "invoice is already paid"}, Refusal),
        (lnd_answers.judge, 502, "Bad Gateway", LightningRejected),
        (lnd_answers.judge, 502, ["?"], LightningRejected),
        (cln.judge, 401, {"code": 1501, "message": "Not derived"}, LightningUnauthorized),
        (cln.judge, 401, {"code": 1503, "message": "Blacklisted"}, LightningUnauthorized),
        (cln.judge, 401, {"error": {"code": 1502, "message": "no"}}, LightningPermission),
        (cln.judge, 500, {"code": 205, "message": "no route"}, Refusal),
        (cln.judge, 502, "Bad Gateway", LightningRejected),
    ],
)
def test_an_error_is_told_by_what_the_node_says(
    judge: Callable[[int, Any], RailError], status: int, body: Any, kind: type[RailError]
) -> None:
    assert isinstance(judge(status, body), kind)
    assert (kind is Refusal) or not isinstance(judge(status, body), Refusal)
    assert (kind is MissingAnswer) or not isinstance(judge(status, body), MissingAnswer)


@pytest.mark.parametrize("number", [-1, -32602, 201, 209, 219, 900])
def test_core_lightnings_other_errors_do_not_end_a_payment(number: int) -> None:
    assert not isinstance(cln.judge(500, {"code": number, "message": "?"}), Refusal)


def test_a_long_answer_is_cut() -> None:
    assert len(judge_by_status(500, "x\n" * 10_000).detail) < 300


@pytest.mark.parametrize(
    "pieces",
    [
        [b'{"a": 1}\n{"b": 2}\n'],
        [b'{"a"', b': 1}\n{"b": ', b"2}\n"],
        [b'{"a": 1}\n\n', b'{"b": 2}'],
    ],
)
def test_lines_are_whole_however_they_were_cut(pieces: list[bytes]) -> None:
    found = [
        line for lines in json_lines(httpx.Response(200, content=iter(pieces))) for line in lines
    ]
    assert found == [{"a": 1}, {"b": 2}]


def test_a_line_that_is_no_json_is_said() -> None:
    with pytest.raises(LightningRejected, match="does not speak"):
        list(json_lines(httpx.Response(200, content=iter([b"<html>\n"]))))


def test_a_redirect_is_not_followed(
    connected: Callable[[RecordedLnd], LndBackend], tmp_path: Path
) -> None:
    node = Elsewhere(tmp_path)
    with pytest.raises(LightningRejected):
        connected(node).create_invoice(ORDER)
    assert node.calls == 1


def test_no_proxy_of_the_environment_sees_a_secret(
    connected: Callable[[RecordedLnd], LndBackend],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert connected(RecordedLnd(tmp_path)).create_invoice(ORDER).bolt11


def test_lnds_list_of_invoices_is_read_to_its_end(
    connected: Callable[[RecordedLnd], LndBackend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lnd, "_PAGE", 2)
    node = RecordedLnd(tmp_path)
    backend = connected(node)
    issued = [backend.create_invoice(ORDER) for _ in range(5)]
    for one in issued:
        node.node.pay(one.payment_hash)
    assert backend.settlements(None, 0).cursor == "5"
    found = backend.settlements("0", 0)
    assert [one.payment_hash for one in found.settled] == [one.payment_hash for one in issued]
    assert found.cursor == "5"


def test_a_certificate_that_is_none_is_said_at_the_start() -> None:
    settings = BackendSettings("https://a:1", "", "", "-----BEGIN", 1.0, False)
    with pytest.raises(ConfigurationError, match="lightning_certificate"):
        RestClient("lnd", settings, schemes=("https",), judge=judge_by_status)


#: A preimage and its hash.
PREIMAGE = "00" * 32
HASH = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
ERROR = LightningUnreachable("The node did not answer in time.")


@pytest.mark.parametrize("refused", [True, False])
@pytest.mark.parametrize("found", [settled(HASH, PREIMAGE, 7), under_way()])
def test_after_trouble_what_the_node_knows_stands(found: Sent, refused: bool) -> None:
    assert after_trouble(found, ERROR, refused=refused) == found


@pytest.mark.parametrize("found", [failed("an older attempt"), no_such_payment(), unclear(ERROR)])
def test_after_trouble_an_older_failure_frees_nothing(found: Sent) -> None:
    assert after_trouble(found, ERROR, refused=False).outcome is Outcome.UNKNOWN


def test_a_refusal_frees_the_money_unless_the_node_cannot_be_asked() -> None:
    refusal = Refusal("The node refused: the invoice has expired")
    for found in (failed("an older attempt"), no_such_payment()):
        assert after_trouble(found, refusal, refused=True) == failed(refusal.detail)
    assert after_trouble(unclear(ERROR), refusal, refused=True).outcome is Outcome.UNKNOWN


def test_a_proof_is_looked_at() -> None:
    assert settled(HASH, PREIMAGE.upper(), 7) == Sent(Outcome.SETTLED, 7, PREIMAGE, "")
    for lie in ("", "11" * 32, HASH):
        assert settled(HASH, lie, 7).outcome is Outcome.UNKNOWN


def test_a_fee_above_the_limit_is_believed_and_an_impossible_one_is_not() -> None:
    """The books cannot carry it, and a run that stumbles over one pays nobody else."""
    assert settled(HASH, PREIMAGE, ALL_MSAT).fee_msat == ALL_MSAT
    for fee_msat in (-1, ALL_MSAT + 1):
        assert settled(HASH, PREIMAGE, fee_msat).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        (["failed", "complete"], Outcome.SETTLED),
        (["complete", "failed"], Outcome.SETTLED),
        (["failed", "pending"], Outcome.PENDING),
        (["failed", "failed"], Outcome.FAILED),
        ([], Outcome.UNKNOWN),
    ],
)
def test_core_lightning_tells_of_each_attempt(states: list[str], outcome: Outcome) -> None:
    entries = [
        {"status": state, "preimage": PREIMAGE, "amount_msat": 1_000, "amount_sent_msat": 1_007}
        for state in states
    ]
    sent = cln.sent_of(entries, HASH)
    assert sent.outcome is outcome
    assert sent.fee_msat == (7 if outcome is Outcome.SETTLED else 0)


class TryingCln(RecordedCln):
    """A node whose first attempt failed, and that is about to begin the next."""

    age_s = 0

    def answer(self, call: Call) -> Answer:
        if call.path != "/v1/listpays":
            return super().answer(call)
        entry = {"status": "failed", "created_at": int(time.time()) - self.age_s}
        return self.recording("listpays").answer("ok", pays=[entry])


def test_between_two_attempts_core_lightning_has_not_failed(tmp_path: Path) -> None:
    """It says failed while ``xpay`` goes on: money freed then would be paid twice."""
    node = TryingCln(tmp_path)
    backend = cln.ClnBackend(
        BackendSettings(
            node.url, node.invoice_secret, node.payout_secret, node.certificate.pem, 10.0, False
        )
    )
    try:
        assert backend.lookup_payment(HASH).outcome is Outcome.PENDING
        node.age_s = 60
        assert backend.lookup_payment(HASH).outcome is Outcome.PENDING
        node.age_s = 120
        assert backend.lookup_payment(HASH).outcome is Outcome.FAILED
    finally:
        backend.close()
        node.stop()


class LostPhoenixd(RecordedPhoenixd):
    """One behind a proxy that does not find it."""

    said = "<html>404 Not Found</html>"

    def answer(self, call: Call) -> Answer:
        return Answer(404, self.said)


def test_a_proxy_does_not_know_what_phoenixd_paid(tmp_path: Path) -> None:
    """Missing would be sent again, and given up once its invoice has expired."""
    node = LostPhoenixd(tmp_path)
    backend = PhoenixdBackend(
        BackendSettings(node.url, node.invoice_secret, node.payout_secret, "", 10.0, False)
    )
    try:
        sent = backend.lookup_payment(HASH)
        assert (sent.outcome, sent.missing) == (Outcome.UNKNOWN, False)
        node.said = "Unknown endpoint (check api doc)"
        assert backend.lookup_payment(HASH).missing
    finally:
        backend.close()
        node.stop()


def test_what_lnd_keeps_back_for_closing_is_ours_where_we_opened_the_channel() -> None:
    channel = {"commit_fee": "2810", "initiator": True}
    assert lnd_answers.kept_for_fees_sat(channel) == 2_810
    assert lnd_answers.kept_for_fees_sat({**channel, "initiator": False}) == 0


@pytest.mark.parametrize(("node_class", "kept_sat"), [(RecordedLnd, 10), (Older, 5)])
def test_channels_that_close_are_ours_where_the_macaroon_sees_them(
    connected: Callable[[RecordedLnd], LndBackend],
    tmp_path: Path,
    node_class: type[RecordedLnd],
    kept_sat: int,
) -> None:
    """Of ten sats five are in channels that open, three in one that ends, two in a forced one."""
    node = node_class(tmp_path)
    backend = connected(node)
    before = backend.funds()
    node.node.set_funds(before.spendable_msat, None, node.node.funds().held_msat + 10_000)
    after = backend.funds()
    assert after.held_msat - before.held_msat == kept_sat * 1_000
    assert after.spendable_msat == before.spendable_msat
    # Who has an older macaroon sells on, and the doctor says what it lacks.
    assert ("PendingChannels" in backend.check("regtest")) is (node_class is Older)
