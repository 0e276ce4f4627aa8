"""Raw transactions, read on this side, so that the node need not be believed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from embit.transaction import Transaction

from bitcache_server.rails.onchain.spenders import Outpoint


@dataclass(frozen=True)
class RawTx:
    """What a raw transaction spends and pays."""

    txid: str
    inputs: tuple[Outpoint, ...]
    outputs: tuple[tuple[str, int], ...]
    """Pairs of script in hex and amount in sat."""


def read_raw(raw: str) -> RawTx:
    """Return what stands in a raw transaction in hex."""
    tx = Transaction.parse(bytes.fromhex(raw))
    return RawTx(
        txid=tx.txid().hex(),
        inputs=tuple((vin.txid.hex(), int(vin.vout)) for vin in tx.vin),
        outputs=tuple((out.script_pubkey.data.hex(), int(out.value)) for out in tx.vout),
    )


def totals(outputs: Sequence[tuple[str, int]]) -> Counter[str]:
    """Return what each script gets, in sat."""
    total: Counter[str] = Counter()
    for script_hex, amount_sat in outputs:
        total[script_hex] += amount_sat
    return total
