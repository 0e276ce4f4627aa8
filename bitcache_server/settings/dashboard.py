"""Settings of what merchants and operators use: accounts, mail, webhooks, metrics, logs."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

SignUp = Literal["open", "invited", "closed"]


class DashboardSettings(BaseModel):
    """A part of the settings; see ``settings/model.py``."""

    sign_up: SignUp = "closed"
    """Who may open an account: everybody, who was invited, or nobody but by command."""
    smtp_url: SecretStr | None = None
    """``smtps://user:password@host`` or ``smtp://…`` with STARTTLS; no mail is sent without."""
    mail_from: str = ""
    """The sender of mail, such as ``Bitcache <pay@example.org>``."""
    webhook_timeout_s: Annotated[int, Field(ge=1, le=60)] = 10
    webhook_allow_local: bool = False
    """Send webhooks to loopback, too; refused in production."""
    webhook_keep_days: Annotated[int, Field(ge=2, le=3_650)] = 30
    """How long events and what was delivered of them are kept."""
    order_lifetime_s: Annotated[int, Field(ge=60, le=31_536_000)] = 86_400
    """How long an order can be paid, where it does not say so itself."""
    metrics_token: SecretStr | None = None
    """What ``/metrics`` wants as a bearer token; without one it answers loopback alone."""
    explorer_url: str = ""
    """Where people look transactions up; their id is put behind it. On mainnet
    ``https://mempool.space/tx/`` by default, on a private chain nowhere."""
    log_format: Literal["text", "json"] = "text"
