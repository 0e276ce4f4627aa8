"""What a payment network could not do."""

from bitcache_server.domain.errors.base import BitcacheError


class RailUnavailable(BitcacheError):
    code = "rail_unavailable"
    title = "This way to pay is not available now"


class RailError(BitcacheError):
    """A rail could not do its work; money keeps its state until it can."""

    code = "rail_error"
    title = "The payment network gave an error"


class NodeUnreachable(RailError):
    code = "node_unreachable"
    title = "The Bitcoin node does not answer"


class NodeUnauthorized(RailError):
    code = "node_unauthorized"
    title = "The Bitcoin node refuses the user name or password"


class NodeWrongNetwork(RailError):
    code = "node_wrong_network"
    title = "The Bitcoin node is on another network"


class NodeSyncing(RailError):
    code = "node_syncing"
    title = "The Bitcoin node is still syncing"


class NodePruned(RailError):
    code = "node_pruned"
    title = "The Bitcoin node no longer has a block that is needed"


class NodeRejected(RailError):
    """The node answered with an error of its own; ``rpc_code`` is Bitcoin Core's number."""

    code = "node_rejected"
    title = "The Bitcoin node refused the call"

    def __init__(self, detail: str = "", rpc_code: int = 0) -> None:
        super().__init__(detail)
        self.rpc_code = rpc_code


class NodeChainUnknown(RailError):
    """The node never saw the block that the cursor names; there is no way back from it."""

    code = "node_chain_unknown"
    title = "The Bitcoin node does not know the block where the watch left off"


class LightningUnreachable(RailError):
    code = "lightning_unreachable"
    title = "The Lightning node does not answer"


class LightningUnauthorized(RailError):
    code = "lightning_unauthorized"
    title = "The Lightning node refuses the secret"


class LightningPermission(RailError):
    code = "lightning_permission"
    title = "The secret may not do what is needed"


class LightningCertificate(RailError):
    code = "lightning_certificate"
    title = "The Lightning node's certificate is not the expected one"


class LightningWrongNetwork(RailError):
    code = "lightning_wrong_network"
    title = "The Lightning node is on another network"


class LightningRejected(RailError):
    code = "lightning_rejected"
    title = "The Lightning node refused the call"


class NoInboundRoom(RailUnavailable):
    """Said before the reader tries: the payment could not arrive."""

    code = "no_inbound_room"
    title = "The node cannot receive an amount of this size now"


class UnknownRail(RailUnavailable):
    code = "unknown_rail"
    title = "This server has no such way to pay"
