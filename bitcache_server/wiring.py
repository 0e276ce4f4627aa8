"""The composition root: production, jobs, command line and tests build through here."""

from collections.abc import Mapping, Sequence

from bitcache_server.delivery.mail import Mail
from bitcache_server.domain.clock import Clock, system_clock
from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.domain.fees import CommissionRule
from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.rails.base import Rail
from bitcache_server.rails.lightning.backend import LightningBackend
from bitcache_server.rails.lightning.lnurl_client import LnurlClient
from bitcache_server.rails.lightning.registry import BackendSettings, make_backend
from bitcache_server.rails.registry import make_rail
from bitcache_server.rates.base import RateSource
from bitcache_server.rates.fixed import FixedRates
from bitcache_server.rates.http_sources import HttpRateSource, ticker_source
from bitcache_server.services.deps import Deps
from bitcache_server.settings import Settings
from bitcache_server.storage.local import LocalFiles


def build(
    settings: Settings,
    *,
    clock: Clock = system_clock,
    rails: Mapping[str, Rail] | None = None,
    rate_sources: Sequence[RateSource] | None = None,
    mail: Mail | None = None,
) -> Deps:
    """Return the dependencies for the settings. Quiet: nothing is connected yet.

    Tests override the outside world with the keyword arguments.
    """
    return Deps(
        settings=settings,
        clock=clock,
        rails=_rails(settings, clock) if rails is None else rails,
        rate_sources=_rate_sources(settings) if rate_sources is None else rate_sources,
        files=LocalFiles(settings.files_dir),
        commission=CommissionRule(
            settings.commission_ppm, settings.commission_min_msat, settings.commission_max_msat
        ),
        mail=mail or _mail(settings),
    )


def _mail(settings: Settings) -> Mail | None:
    """Return what sends mail, or None; raise ConfigurationError for settings that cannot be."""
    if settings.smtp_url is None:
        return None
    return Mail(settings.smtp_url.get_secret_value(), settings.mail_from)


def _rails(settings: Settings, clock: Clock) -> Mapping[str, Rail]:
    return {
        name: make_rail(name, **_rail_parameters(settings, clock, name)) for name in settings.rails
    }


def _rail_parameters(settings: Settings, clock: Clock, name: str) -> dict[str, object]:
    """Return what a rail needs of the settings; a new rail has a case here."""
    match name:
        case "onchain":
            if settings.node_url is None:
                raise ConfigurationError(
                    "node_url (BITCACHE_NODE_URL) is missing: http://user:password@host:port "
                    "of your Bitcoin node."
                )
            return {
                "rpc_url": settings.node_url.get_secret_value(),
                "network": settings.network,
                "fallback_fee_sat_per_vb": settings.fallback_fee_sat_per_vb,
                "payout_wallet": settings.payout_wallet,
                "conflict_confirmations": settings.payout_conflict_confirmations,
            }
        case "lightning":
            return {
                "backend": lightning_backend(settings),
                "lnurl": lnurl_client(settings, clock),
                # Of its own: a payee whose host hangs must not keep a merchant's sales.
                "payee_lnurl": lnurl_client(settings, clock),
                "network": settings.network,
                "fee_ppm": settings.lightning_fee_ppm,
                "fee_min_msat": settings.lightning_fee_min_sat * MSAT_PER_SAT,
                "pay_wait_s": settings.lightning_pay_wait_s,
                "clock": clock,
            }
        case "fake":
            return {
                "allow": settings.environment != "production",
                "conflict_confirmations": settings.payout_conflict_confirmations,
            }
        case _:
            return {}


def lightning_backend(settings: Settings) -> LightningBackend | None:
    """Return the node or wallet of the settings, or None where there is none.

    Raises ConfigurationError for settings that cannot be right. Makes no connection.
    """
    if not settings.lightning_backend:
        return None
    return make_backend(
        settings.lightning_backend,
        BackendSettings(
            url=settings.lightning_url.get_secret_value(),
            secret=settings.lightning_secret.get_secret_value(),
            payout_secret=settings.lightning_payout_secret.get_secret_value(),
            certificate=settings.lightning_certificate,
            timeout_s=settings.lightning_timeout_s,
            allow_fake=settings.environment != "production",
        ),
    )


def lnurl_client(settings: Settings, clock: Clock) -> LnurlClient:
    """Return what follows Lightning addresses; internal ones on a test network only."""
    local = settings.environment != "production" and settings.network == "regtest"
    return LnurlClient(settings.lnurl_timeout_s, local, clock, own_url=settings.public_url)


def _rate_sources(settings: Settings) -> Sequence[RateSource]:
    if settings.fixed_rates:
        return (FixedRates(settings.fixed_rates),)
    timeout_s = settings.rate_timeout_s
    known = [
        ticker_source(name, settings.rate_base_urls.get(name, ""), timeout_s)
        for name in settings.rate_sources
    ]
    own = [
        HttpRateSource(name, source.url, source.json_path, timeout_s)
        for name, source in settings.rate_custom_sources.items()
    ]
    return (*known, *own)
