"""Accounts, members, keys, webhooks, orders."""

from bitcache_server.domain.errors.base import BitcacheError


class AccountRequired(BitcacheError):
    """Nobody is signed in to an account in this browser."""

    code = "account_required"
    title = "Sign in first"


class AccountConfirmationRequired(BitcacheError):
    """The person must show once more who they are."""

    code = "account_confirmation_required"
    title = "Show once more that it is you"


class SignInFailed(BitcacheError):
    code = "sign_in_failed"
    title = "The name, the password or the code is wrong"


class SignUpClosed(BitcacheError):
    code = "sign_up_closed"
    title = "This server takes no new accounts by itself"


class LoginTaken(BitcacheError):
    code = "login_taken"
    title = "This name is taken"


class RoleMissing(BitcacheError):
    code = "role_missing"
    title = "Your role does not allow this"


class UnknownAccount(BitcacheError):
    code = "unknown_account"
    title = "There is no such account"


class InvitationInvalid(BitcacheError):
    code = "invitation_invalid"
    title = "The invitation was used, was withdrawn or is over"


class LastOwner(BitcacheError):
    code = "last_owner"
    title = "A merchant needs an owner"


class ScopeMissing(BitcacheError):
    code = "scope_missing"
    title = "The key does not allow this call"


class UnknownKey(BitcacheError):
    code = "unknown_key"
    title = "There is no such key"


class UnknownEndpoint(BitcacheError):
    code = "unknown_endpoint"
    title = "There is no such webhook endpoint"


class UnknownEvent(BitcacheError):
    code = "unknown_event"
    title = "There is no such event"


class WebhookUrlRefused(BitcacheError):
    code = "webhook_url_refused"
    title = "Webhooks are not sent to this address"


class ItemArchived(BitcacheError):
    code = "item_archived"
    title = "This is not sold any more"


class UnknownSale(BitcacheError):
    code = "unknown_sale"
    title = "There is no such sale"


class UnknownOrder(BitcacheError):
    code = "unknown_order"
    title = "There is no such order"


class OrderClosed(BitcacheError):
    code = "order_closed"
    title = "The order is paid, cancelled or over"


class ReturnUrlRefused(BitcacheError):
    code = "return_url_refused"
    title = "The return address is not on an origin of the site"


class ConnectInvalid(BitcacheError):
    code = "connect_invalid"
    title = "The request to connect a site is not valid"


class BackupInvalid(BitcacheError):
    code = "backup_invalid"
    title = "The backup cannot be used"


class BackupFailed(BitcacheError):
    """The database could not be copied; nothing was changed."""

    code = "backup_failed"
    title = "The database could not be copied"


class RestoreRefused(BitcacheError):
    """There is something that a backup would replace; nothing was changed."""

    code = "restore_refused"
    title = "Nothing was restored"


class MailUnreachable(BitcacheError):
    """The mail server did not take a mail; it is tried again."""

    code = "mail_unreachable"
    title = "The mail server does not take mail at the moment"


class MailRefused(BitcacheError):
    """The mail server will never take this mail."""

    code = "mail_refused"
    title = "The mail server refuses this mail"
