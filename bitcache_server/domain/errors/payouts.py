"""Money that leaves or goes back."""

from bitcache_server.domain.errors.base import BitcacheError


class AddressInvalid(BitcacheError):
    """Nothing can be sent there.

    ``is_meant`` says whether the text was meant for the rail that refuses it, so that its
    words say more than those of others; None where it cannot tell.
    """

    code = "address_invalid"
    title = "That is no address of this network"

    def __init__(self, detail: str = "", is_meant: bool | None = None) -> None:
        super().__init__(detail)
        self.is_meant = is_meant


class InvoiceUsed(AddressInvalid):
    """A Lightning invoice takes one payment only, and this one has had it."""

    code = "invoice_used"
    title = "The invoice was used before"


class PayoutLimit(BitcacheError):
    code = "payout_limit"
    title = "The amount is outside the limits"


class TooManyPayouts(PayoutLimit):
    code = "too_many_payouts"
    title = "Too many payouts are under way"


class PayoutFeeChanged(BitcacheError):
    code = "payout_fee_changed"
    title = "The network fee has risen since it was shown"


class PayoutsUnavailable(BitcacheError):
    code = "payouts_unavailable"
    title = "Payouts are not available now"


class UnknownPayout(BitcacheError):
    code = "unknown_payout"
    title = "There is no such payout"


class PayoutNotWaiting(BitcacheError):
    code = "payout_not_waiting"
    title = "The payout does not wait for that any more"


class PayoutKnown(BitcacheError):
    code = "payout_known"
    title = "The node knows this payout and will end it"


class PayoutUnderWay(BitcacheError):
    code = "payout_under_way"
    title = "The payout may still be on its way"


class PayoutNodeSilent(BitcacheError):
    code = "payout_node_silent"
    title = "The node does not say whether it knows this payout"


class PreimageWrong(BitcacheError):
    code = "preimage_wrong"
    title = "The preimage does not belong to this payout"


class ApprovalRefused(BitcacheError):
    code = "approval_refused"
    title = "The approval does not count"


class PayoutAddressMissing(BitcacheError):
    code = "payout_address_missing"
    title = "No payout address is set"


class MerchantBalanceTooLow(BitcacheError):
    code = "merchant_balance_too_low"
    title = "The merchant's balance is too small"


class UnknownPurchase(BitcacheError):
    code = "unknown_purchase"
    title = "There is no such purchase"


class AlreadyRefunded(BitcacheError):
    code = "already_refunded"
    title = "The purchase was given back before"


class RefundNotOffered(BitcacheError):
    code = "refund_not_offered"
    title = "This purchase cannot be given back any more"


class SplitInvalid(BitcacheError):
    code = "split_invalid"
    title = "The shares of the co-authors are not valid"


class UnknownTransfer(BitcacheError):
    code = "unknown_transfer"
    title = "There is no such transfer"


class AlreadyReversed(BitcacheError):
    code = "already_reversed"
    title = "The transfer was taken back before"
