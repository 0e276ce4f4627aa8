"""Every setting with its type, bounds, default and meaning."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from bitcache_server.domain.errors import UnknownCurrency
from bitcache_server.domain.fees import PARTS_PER_MILLION
from bitcache_server.domain.money import MAX_RATE, MIN_RATE, exponent_of
from bitcache_server.settings.dashboard import DashboardSettings
from bitcache_server.settings.limits import LimitSettings
from bitcache_server.settings.sources import ENV_PREFIX, FileVariables, TomlFile

MIN_SECRET_KEY_CHARS = 32

Environment = Literal["production", "development", "test"]
Network = Literal["mainnet", "testnet", "signet", "regtest"]
Port = Annotated[int, Field(ge=1, le=65535)]
#: A list that the environment may give as ``a,b`` or as JSON.
Names = Annotated[list[str], NoDecode]


class ConfirmationStep(BaseModel):
    """Payments of up to ``up_to_sat`` (None: any amount) need that many confirmations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    up_to_sat: Annotated[int, Field(gt=0)] | None = None
    confirmations: Annotated[int, Field(ge=0, le=144)]


class CustomRateSource(BaseModel):
    """An address that answers in JSON; ``{currency}`` in either part is filled in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    json_path: str
    """Names and positions with dots between: ``data.prices.0.{currency}``."""


DEFAULT_CONFIRMATIONS = (
    ConfirmationStep(up_to_sat=10_000, confirmations=0),
    ConfirmationStep(up_to_sat=1_000_000, confirmations=1),
    ConfirmationStep(up_to_sat=10_000_000, confirmations=3),
    ConfirmationStep(up_to_sat=None, confirmations=6),
)


class Settings(LimitSettings, DashboardSettings, BaseSettings):
    """Every setting with its type, bounds and default. Units stand in the names."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    environment: Environment = "production"
    """Only ``test`` and ``development`` may use the fake rail and fixed rates."""
    secret_key: SecretStr
    """At least 32 random characters: signs grants, receipts and download links."""
    data_dir: Path = Path("data")
    """Where SQLite and the files for sale live; relative to the working directory."""
    files_dir: Path = Path()
    """The folder of the files for sale; ``files`` in the data folder by default."""
    database_url: str = Field(default="", repr=False)
    """An SQLAlchemy URL; SQLite in the data folder by default."""

    bind_host: str = "127.0.0.1"
    port: Port = 8402
    events_port: Port = 8403
    """The listener for server-sent events."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that answer HTTP."""
    public_url: str = ""
    """What readers' browsers call the server, such as ``https://pay.example``."""
    events_url: str = ""
    """What they call the events listener; the public host with ``events_port`` by default."""
    trusted_proxies: Annotated[int, Field(ge=0, le=8)] = 0
    """Proxies in front whose ``X-Forwarded-For`` is believed."""
    max_body_bytes: Annotated[int, Field(ge=1_000)] = 1_000_000

    rails: Names = ["onchain"]
    network: Network = "mainnet"
    node_url: SecretStr | None = None
    """The Bitcoin node's RPC: ``http://user:password@host:port``."""
    onchain_descriptor: str | None = None
    """The operator's own output descriptor or extended public key, never a private one."""
    lightning_backend: Annotated[str, Field(pattern="^[a-z]*$")] = ""
    """Which node or wallet receives and pays over Lightning: ``lnd``, ``cln``, ``phoenixd``,
    ``lnbits``, ``nwc`` or ``electrum``. Empty: only merchants with a Lightning address."""
    lightning_url: SecretStr = SecretStr("")
    """Where it answers; for ``nwc`` the whole connection text, which is a secret."""
    lightning_secret: SecretStr = SecretStr("")
    """May create and read invoices: macaroon in hex, rune, API key, ``user:password``."""
    lightning_payout_secret: SecretStr = SecretStr("")
    """May also pay. Without it nothing is paid out over Lightning, unless one does for both."""
    lightning_certificate: str = ""
    """PEM of the node's certificate, when no public authority vouches for it."""
    lightning_timeout_s: Annotated[int, Field(ge=1, le=60)] = 10
    lightning_fee_ppm: Annotated[int, Field(ge=0, le=100_000)] = 10_000
    """Fee reserve of a payout in parts per million of its amount; the rest comes back."""
    lightning_fee_min_sat: Annotated[int, Field(ge=0)] = 5
    """The reserve is never less than this."""
    lightning_pay_wait_s: Annotated[int, Field(ge=1, le=60)] = 10
    """How long a payout is waited for before its end is asked about later."""
    lightning_open_payouts_per_wallet: Annotated[int, Field(ge=1)] = 3
    """So many Lightning payouts of one reader may be open at once: a payee can hold each of
    them back for days."""
    lightning_open_payouts: Annotated[int, Field(ge=4, le=400)] = 20
    """So many payments may be under way in all, three quarters of them to readers; the others
    wait. Many nodes take 30 in a channel."""
    lnurl_timeout_s: Annotated[int, Field(ge=1, le=60)] = 5
    l402_lifetime_s: Annotated[int, Field(ge=60)] = 30 * 86_400
    """How long an L402 token opens an item that is sold for ever."""
    l402_max_uses: Annotated[int, Field(ge=0)] = 0
    """How often one L402 token may be used; 0 is any number."""
    confirmations: list[ConfirmationStep] = list(DEFAULT_CONFIRMATIONS)
    """How deep a payment must be, by amount; ascending, the last without a bound."""
    onchain_floor_sat: Annotated[int, Field(ge=0)] = 1_000
    """On-chain is not offered below this amount."""
    onchain_floor_fee_vb: Annotated[int, Field(ge=0)] = 141
    """Nor below the fee of a transaction of this many vbytes: one input, two outputs."""
    fallback_fee_sat_per_vb: Annotated[int, Field(ge=1, le=10_000)] = 2
    """Used while the node has no estimate."""
    gap_limit: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Unused addresses in a row that the merchant's wallet looks ahead (BIP 44 says 20)."""
    address_quarantine_s: Annotated[int, Field(ge=0)] = 86_400
    """An expired address waits this long before another invoice may have it."""
    revoke_on_reorg: bool = True
    """Take a grant back when its payment leaves the chain."""

    commission_ppm: Annotated[int, Field(ge=0, le=PARTS_PER_MILLION)] = 10_000
    """The operator's share of a sale in parts per million; a merchant may have another."""
    commission_min_msat: Annotated[int, Field(ge=0)] = 0
    commission_max_msat: Annotated[int, Field(ge=0)] | None = None
    invoice_lifetime_s: Annotated[int, Field(ge=10, le=86_400)] = 900
    late_grace_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    """A payment that comes this late still pays the invoice at its old rate."""

    gift_sat: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Starter credit of a new wallet; 0 gives none."""
    gift_budget_sat_per_day: Annotated[int, Field(ge=0)] = 0
    """What all gifts of a UTC day may cost together."""
    gifts_per_address: Annotated[int, Field(ge=1)] = 3
    """Gifts within 24 hours to one address block (IPv4 /24, IPv6 /48)."""
    gift_work: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000_000
    """Rounds of PBKDF2 that a browser computes for a gift, on average: a second on a phone."""
    undo_window_s: Annotated[int, Field(ge=0, le=3_600)] = 60
    """How long a purchase by allowance can be undone."""
    undos_per_day: Annotated[int, Field(ge=0)] = 5
    """How many purchases one wallet may undo within 24 hours."""
    top_up_min_sat: Annotated[int, Field(ge=1)] = 1_000
    top_up_max_sat: Annotated[int, Field(ge=1)] = 1_000_000

    payout_wallet: str = ""
    """The wallet of the Bitcoin node that pays out; its default wallet if empty."""
    withdrawal_min_sat: Annotated[int, Field(ge=600)] = 5_000
    withdrawal_max_sat_per_day: Annotated[int, Field(ge=0)] = 1_000_000
    """What one wallet may withdraw within 24 hours."""
    payout_max_sat_per_day: Annotated[int, Field(ge=0)] = 100_000_000
    """What may leave within 24 hours, withdrawals and payouts together."""
    payout_approval_above_sat: Annotated[int, Field(ge=0)] = 1_000_000
    """Larger payouts wait until two operators have approved them."""
    payout_confirmations: Annotated[int, Field(ge=1, le=144)] = 6
    """How deep a payout must be before it is booked as gone, for good."""
    payout_conflict_confirmations: Annotated[int, Field(ge=1, le=1_000)] = 6
    """How deep another spend of a payout's coins must be before the payout has failed."""
    payout_batch_size: Annotated[int, Field(ge=1, le=500)] = 100
    """How many payouts one transaction carries at most."""
    payout_every_s: Annotated[int, Field(ge=1)] = 600
    """How long payouts gather before a transaction is made."""
    reconcile_every_s: Annotated[int, Field(ge=1)] = 600
    solvency_every_s: Annotated[int, Field(ge=60)] = 86_400
    """How often a proof of solvency is published."""

    rail_stale_after_s: Annotated[int, Field(ge=1)] = 600
    """A rail that was not well for this long is no longer offered."""
    download_link_lifetime_s: Annotated[int, Field(ge=10, le=86_400)] = 3_600
    idempotency_lifetime_s: Annotated[int, Field(ge=3_600)] = 30 * 86_400
    """How long the answer to an Idempotency-Key is kept."""

    rate_sources: Names = ["coinbase", "kraken", "bitstamp", "coingecko"]
    rate_custom_sources: dict[str, CustomRateSource] = {}
    """Sources of your own, asked beside ``rate_sources``; the name is what the doctor shows."""
    rate_base_urls: dict[str, str] = {}
    """Another address for a source, by its name: a mirror, or a server in a test."""
    rate_refresh_s: Annotated[int, Field(ge=1)] = 60
    rate_timeout_s: Annotated[int, Field(ge=1, le=60)] = 5
    rate_max_age_s: Annotated[int, Field(ge=1)] = 86_400
    """The last good rate sells until it is this old."""
    fixed_rates: dict[str, Decimal] = {}
    """Price of one bitcoin by currency, for tests and the demo: ``{"USD": "1000"}``."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the places to look in, the first one wins."""
        files = FileVariables(settings_cls)
        return init_settings, env_settings, files, TomlFile(settings_cls)

    @field_validator("rails", "rate_sources", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            bare = value.strip().removeprefix("[").removesuffix("]")
            return [name.strip().strip("\"'") for name in bare.split(",") if name.strip()]
        return value

    @field_validator("secret_key")
    @classmethod
    def _secret_key_is_long(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < MIN_SECRET_KEY_CHARS:
            raise ValueError(f"must have at least {MIN_SECRET_KEY_CHARS} characters")
        return value

    @field_validator("node_url")
    @classmethod
    def _node_url_is_complete(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = _http_url(value.get_secret_value())
            if not parts.username or not parts.password:
                raise ValueError("must carry the user name and password: http://user:password@host")
        return value

    @field_validator("public_url", "events_url")
    @classmethod
    def _url_is_bare(cls, value: str) -> str:
        if value:
            parts = _http_url(value)
            if parts.query or parts.fragment or parts.username:
                raise ValueError("must be a plain address such as https://pay.example")
        return value.rstrip("/")

    @field_validator("rate_base_urls")
    @classmethod
    def _rate_urls_are_urls(cls, value: dict[str, str]) -> dict[str, str]:
        for url in value.values():
            _http_url(url)
        return value

    @field_validator("fixed_rates")
    @classmethod
    def _rates_are_believable(cls, value: dict[str, Decimal]) -> dict[str, Decimal]:
        for currency, rate in value.items():
            try:
                exponent_of(currency)
            except UnknownCurrency as error:
                raise ValueError(error.detail.rstrip(".")) from None
            if not rate.is_finite() or not MIN_RATE <= rate <= MAX_RATE:
                raise ValueError(f"the rate for {currency} is not believable")
        return value

    @field_validator("confirmations")
    @classmethod
    def _confirmations_ascend(cls, value: list[ConfirmationStep]) -> list[ConfirmationStep]:
        if not value or value[-1].up_to_sat is not None:
            raise ValueError("the last step must have no up_to_sat, so that it holds for the rest")
        bounds = [step.up_to_sat for step in value[:-1]]
        if None in bounds or bounds != sorted(set(bounds), key=lambda bound: bound or 0):
            raise ValueError("the steps must ascend by up_to_sat")
        return value

    @model_validator(mode="after")
    def _no_fakes_in_production(self) -> Self:
        if self.environment == "production":
            if "fake" in self.rails:
                raise ValueError("the fake rail settles for nothing; it is refused in production")
            if self.fixed_rates:
                raise ValueError("fixed_rates are refused in production")
            if self.webhook_allow_local:
                raise ValueError("webhook_allow_local is refused in production")
        return self

    @model_validator(mode="after")
    def _fill_what_follows(self) -> Self:
        data_dir = self.data_dir.absolute()
        files_dir = data_dir / "files" if self.files_dir == Path() else self.files_dir.absolute()
        public_url = self.public_url or f"http://{_host_for_url(self.bind_host)}:{self.port}"
        public = urlsplit(public_url)
        events_host = f"{_host_for_url(public.hostname or '')}:{self.events_port}"
        derived = {
            "data_dir": data_dir,
            "files_dir": files_dir,
            "database_url": self.database_url or f"sqlite:///{data_dir / 'bitcache.sqlite3'}",
            "public_url": public_url,
            "events_url": self.events_url or f"{public.scheme}://{events_host}",
        }
        # The model is frozen for everybody else.
        self.__dict__.update(derived)
        return self


def _http_url(value: str) -> SplitResult:
    """Split an HTTP address; the message never shows it, it may hold a password."""
    try:
        parts = urlsplit(value)
        complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if not complete:
        raise ValueError("must be an address that begins with http:// or https://")
    return parts


def _host_for_url(host: str) -> str:
    """Put an IPv6 address in brackets, as URLs want it (RFC 3986)."""
    return f"[{host}]" if ":" in host else host
