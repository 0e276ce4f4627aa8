"""Lightning addresses, LNURL, gift links and L402."""

from bitcache_server.domain.errors.base import BitcacheError


class LnurlUnreachable(BitcacheError):
    """Somebody else's LNURL service gave no answer that can be used."""

    code = "lnurl_unreachable"
    title = "The Lightning address does not answer"


class LnurlRefused(BitcacheError):
    """It answered with an error of its own, or broke the protocol."""

    code = "lnurl_refused"
    title = "The Lightning address refused"


class LnurlForbidden(BitcacheError):
    """It points to where this server never goes: an internal address, plain HTTP."""

    code = "lnurl_forbidden"
    title = "This address is not allowed"


class LightningAddressInvalid(BitcacheError):
    code = "lightning_address_invalid"
    title = "That is no Lightning address that can be paid"


class HandleTaken(BitcacheError):
    code = "handle_taken"
    title = "This name is not available"


class LoginInvalid(BitcacheError):
    """LNURL-auth: the challenge is unknown, used or old, or the signature is wrong."""

    code = "login_invalid"
    title = "The login with the wallet is not valid"


class UnknownLink(BitcacheError):
    code = "unknown_link"
    title = "There is no such link"


class LinkClaimed(BitcacheError):
    code = "link_claimed"
    title = "The money behind this link was taken before"


class ConnectionInvalid(BitcacheError):
    code = "connection_invalid"
    title = "The wallet connection cannot be used"


class PaymentRequired(BitcacheError):
    """HTTP 402 with an L402 challenge."""

    code = "payment_required"
    title = "This has a price"


class L402Invalid(BitcacheError):
    code = "l402_invalid"
    title = "The L402 token does not open this"
