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


class UnknownRail(RailUnavailable):
    code = "unknown_rail"
    title = "This server has no such way to pay"
