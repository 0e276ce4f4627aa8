"""Settings of the rate limits: ``10/minute``, or several as ``10/minute;100/hour``."""

from typing import Annotated

import limits
from pydantic import AfterValidator, BaseModel, Field


def _readable(value: str) -> str:
    try:
        limits.parse_many(value)
    except ValueError:
        raise ValueError('must look like "10/minute" or "10/minute;100/hour"') from None
    return value


Limit = Annotated[str, AfterValidator(_readable)]


class LimitSettings(BaseModel):
    """A part of the settings; see ``settings/model.py``."""

    limit_invoices_per_address: Limit = "10/minute;100/hour"
    limit_invoices_per_site: Limit = "600/minute"
    limit_reads_per_address: Limit = "600/minute"
    limit_unlocks_per_address: Limit = "120/minute"
    limit_recoveries_per_address: Limit = "5/minute;60/hour"
    """Sign-ins with a recovery code; a signed-in wallet's confirmations count for it alone.

    Nobody guesses 140 bits, so no day is needed: many readers may share an address.
    """
    rate_limit_storage: str = Field(default="memory://", repr=False)
    """``memory://`` counts per process; ``redis://…`` counts for all of them."""
    limit_sign_ins_per_address: Limit = "10/minute;60/hour"
    limit_sign_ins_per_account: Limit = "10/hour"
    """Passwords and codes that were wrong, for one account, from wherever."""
    limit_sign_ups_per_address: Limit = "5/hour"
    limit_replays_per_merchant: Limit = "30/minute;300/hour"
    """Test events, and events that are sent again, one or a range of them."""
