"""Balances, allowances, and who holds a wallet."""

from bitcache_server.domain.errors.base import BitcacheError


class UnknownWallet(BitcacheError):
    code = "unknown_wallet"
    title = "There is no such wallet"


class InsufficientBalance(BitcacheError):
    code = "insufficient_balance"
    title = "The balance is too small"


class PurchaseEnded(BitcacheError):
    code = "purchase_ended"
    title = "This purchase is over or was given back"


class UnknownAllowance(BitcacheError):
    code = "unknown_allowance"
    title = "There is no such allowance"


class AllowanceMissing(BitcacheError):
    code = "allowance_missing"
    title = "This call needs an allowance"


class AllowanceInvalid(BitcacheError):
    code = "allowance_invalid"
    title = "The allowance is not valid here"


class AllowanceRevoked(BitcacheError):
    code = "allowance_revoked"
    title = "The reader has revoked the allowance"


class AllowanceExpired(BitcacheError):
    code = "allowance_expired"
    title = "The allowance has ended"


class AllowanceExceeded(BitcacheError):
    code = "allowance_exceeded"
    title = "The price is above the limits of the allowance"


class PriceChanged(BitcacheError):
    code = "price_changed"
    title = "The price is higher than the one that was shown"


class ApprovalPending(BitcacheError):
    code = "approval_pending"
    title = "The reader has not approved this, or the approval is over"


class SignInRequired(BitcacheError):
    code = "sign_in_required"
    title = "This browser is not signed in to a wallet"


class ConfirmationRequired(BitcacheError):
    code = "confirmation_required"
    title = "Confirm that it is you first"


class PasskeyInvalid(BitcacheError):
    code = "passkey_invalid"
    title = "The passkey was not accepted"


class RecoveryCodeInvalid(BitcacheError):
    code = "recovery_code_invalid"
    title = "The recovery code is not valid"


class GiftUnavailable(BitcacheError):
    code = "gift_unavailable"
    title = "There is no gift to be had now"


class ProofOfWorkInvalid(BitcacheError):
    code = "proof_of_work_invalid"
    title = "The proof of work is not valid"


class CreditNotMovable(BitcacheError):
    code = "credit_not_movable"
    title = "This credit buys the same item only"


class WalletNotEmpty(BitcacheError):
    code = "wallet_not_empty"
    title = "There is still money in this wallet"
