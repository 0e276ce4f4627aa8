"""The secrets that sign webhooks: kept sealed, shown once, rotated with an overlap."""

import base64
import secrets

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.models.webhooks import WebhookEndpoint
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.sealing import seal, unseal

#: How long the secret before signs as well.
OVERLAP_S = SECONDS_PER_DAY
#: The specification asks for 24 to 64 bytes.
_SECRET_BYTES = 32
_PREFIX = "whsec_"
_PURPOSE = "webhook"


def new_secret(deps: Deps, endpoint_id: str) -> tuple[str, str]:
    """Return a new secret as the receiver needs it, and as it is stored."""
    secret = _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    return secret, seal(_key(deps), _PURPOSE, endpoint_id, secret)


def signing_secrets(deps: Deps, endpoint: WebhookEndpoint) -> list[str]:
    """Return the secrets that sign now, the newest first.

    Empty when none can be opened, as after a change of the server's ``secret_key``.
    """
    sealed = [endpoint.secret_sealed]
    if endpoint.old_secret_sealed and (endpoint.old_secret_until or 0) > deps.clock():
        sealed.append(endpoint.old_secret_sealed)
    opened = (unseal(_key(deps), _PURPOSE, endpoint.id, one) for one in sealed)
    return [secret for secret in opened if secret is not None]


def _key(deps: Deps) -> str:
    return deps.settings.secret_key.get_secret_value()
