import pytest

from bitcache_server.ledger import chart
from bitcache_server.ledger.chart import Account, AccountKind


@pytest.mark.parametrize(
    "name",
    [
        chart.wallet("wa_AbC-1"),
        chart.gift("wa_AbC-1"),
        chart.payout("po_1"),
        chart.merchant("me_1"),
        chart.invoice("in_1"),
        chart.clearing("onchain"),
        chart.unconfirmed("onchain"),
        chart.COMMISSION,
        chart.ROUNDING,
        chart.NETWORK_FEES,
        chart.PROMOTION,
        chart.SUSPENSE,
        chart.LOSS,
        chart.OPENING,
    ],
)
def test_a_name_survives_being_taken_apart(name: str) -> None:
    assert str(chart.parse(name)) == name


def test_every_kind_of_account_can_be_named() -> None:
    names = {str(Account(kind, _key(kind))) for kind in AccountKind}
    assert len(names) == len(AccountKind)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":",
        "wallet",
        "wallet:",
        "wallet:a b",
        "wallet:a:b",
        "wallet:" + "x" * 65,
        "Wallet:wa_1",
        "commission:",
        "commission:x",
        "clearing",
        "clearing:On-Chain",
        "unconfirmed:",
        "treasury",
        "gift",
        "payout:",
        "network_fees:x",
        "wallet:wa_1\n",
        "invoice:in_1' OR '1'='1",
    ],
)
def test_a_name_outside_the_chart_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no account of the chart"):
        chart.parse(name)


def test_only_wallets_store_their_balance() -> None:
    stored = {kind for kind in AccountKind if Account(kind, _key(kind)).stored}
    assert stored == {AccountKind.WALLET, AccountKind.GIFT}


WITH_ID = {
    AccountKind.WALLET,
    AccountKind.GIFT,
    AccountKind.MERCHANT,
    AccountKind.INVOICE,
    AccountKind.PAYOUT,
}


def _key(kind: AccountKind) -> str:
    if kind in WITH_ID:
        return "id_1"
    return "onchain" if kind in {AccountKind.CLEARING, AccountKind.UNCONFIRMED} else ""
