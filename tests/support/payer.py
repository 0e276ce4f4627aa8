"""A payer with keys of its own, who can also pay badly: replaceable, cheap, locked, twice."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from embit import script
from embit.bip32 import HDKey
from embit.finalizer import finalize_psbt
from embit.networks import NETWORKS
from embit.psbt import PSBT
from embit.transaction import Transaction, TransactionInput, TransactionOutput

from demo.regtest.node import RegtestNode

REGTEST = NETWORKS["regtest"]
FINAL = 0xFFFFFFFF
REPLACEABLE = 0xFFFFFFFD
DEFAULT_FEE_SAT = 1_000


def new_account_key() -> HDKey:
    """Return a fresh private account key of regtest (BIP 84)."""
    root = HDKey.from_seed(secrets.token_bytes(32), version=REGTEST["xprv"])
    return root.derive("m/84h/1h/0h")


def new_descriptor() -> str:
    """Return the descriptor of a fresh wallet, as a merchant would paste it."""
    return f"wpkh({new_account_key().to_public().to_base58()}/<0;1>/*)"


@dataclass(frozen=True)
class Coin:
    """An output that the payer can spend."""

    txid: str
    vout: int
    amount_sat: int


class Payer:
    """Holds one key; its coins come from a node's wallet."""

    def __init__(self, node: RegtestNode) -> None:
        self._node = node
        self._key = new_account_key().derive("m/0/0")
        self._script = script.p2wpkh(self._key)

    @property
    def address(self) -> str:
        """Return the payer's only address."""
        return str(self._script.address(REGTEST))

    def coin(self, amount_sat: int) -> Coin:
        """Return a new coin, which is unconfirmed until somebody mines."""
        txid = self._node.pay(self.address, amount_sat)
        outputs = self._node.rpc.getrawtransaction(txid, True)["vout"]
        mine = self._script.data.hex()
        [vout] = [out["n"] for out in outputs if out["scriptPubKey"]["hex"] == mine]
        return Coin(txid, vout, amount_sat)

    def spend(
        self,
        coin: Coin,
        outputs: Sequence[tuple[str, int]],
        *,
        fee_sat: int = DEFAULT_FEE_SAT,
        sequence: int = FINAL,
        lock_time: int = 0,
    ) -> str:
        """Return a signed raw transaction to the addresses; the rest goes back to the payer."""
        change_sat = coin.amount_sat - sum(amount for _, amount in outputs) - fee_sat
        vout = [_output(script.address_to_scriptpubkey(to), amount) for to, amount in outputs]
        vout.append(_output(self._script, change_sat))
        vin = [TransactionInput(bytes.fromhex(coin.txid), coin.vout, sequence=sequence)]
        psbt = PSBT(Transaction(version=2, vin=vin, vout=vout, locktime=lock_time))
        psbt.inputs[0].witness_utxo = _output(self._script, coin.amount_sat)
        psbt.sign_with(self._key.key)
        return str(finalize_psbt(psbt).serialize().hex())

    def change_of(self, raw: str) -> Coin:
        """Return the change that a transaction made by ``spend`` leaves."""
        decoded = self._node.rpc.decoderawtransaction(raw)
        last = decoded["vout"][-1]
        return Coin(decoded["txid"], last["n"], int(last["value"] * 100_000_000))


def _output(script_pubkey: script.Script, amount_sat: int) -> TransactionOutput:
    return TransactionOutput(amount_sat, script_pubkey)
