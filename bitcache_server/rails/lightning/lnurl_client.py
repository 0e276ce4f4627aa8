"""Lightning addresses of others: their terms, an invoice, and whether it was paid.

LUD-16 (name@host), LUD-06 (payRequest), LUD-12 (comments) and LUD-21 (verify) of
https://github.com/lnurl/luds. Nothing that comes back is trusted before it was checked:
the server may be broken, and it may be an enemy's.
"""

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar

import httpx
from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr, ValidationError

from bitcache_server.domain.clock import Clock, system_clock
from bitcache_server.domain.errors import (
    AddressInvalid,
    LightningAddressInvalid,
    LnurlForbidden,
    LnurlRefused,
    LnurlUnreachable,
)
from bitcache_server.domain.money import ALL_MSAT, MSAT_PER_SAT, format_sat, msat_to_sat_ceil
from bitcache_server.rails.lightning.decoding import Decoded, decode, preimage_fits
from bitcache_server.rails.lightning.safe_http import SafeJson

_MAX_ADDRESS_CHARS = 320
#: Threads of this process that wait for one host, and how long another one waits for its turn.
MOST_AT_ONCE = 4
TURN_WAIT_S = 1.0
#: LUD-16: a-z0-9-_. and, since 2023, + for tags. The host may have a port for tests.
_ADDRESS = re.compile(
    r"(?P<name>[a-z0-9_.+-]{1,64})@"
    r"(?P<host>(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{1,63}|localhost)"
    r"(?P<port>:[0-9]{1,5})?"
)


@dataclass(frozen=True)
class PayTerms:
    """What a Lightning address takes (LUD-06)."""

    callback: str
    min_msat: int
    max_msat: int
    metadata: str
    """The raw JSON text: an invoice may commit to its SHA-256."""
    comment_chars: int
    """How long a comment may be; 0 where none is taken (LUD-12)."""


@dataclass(frozen=True)
class LnurlInvoice:
    """An invoice that a Lightning address made, checked against what was asked for."""

    bolt11: str
    payment_hash: str
    check_url: str
    """Where payment is asked about (LUD-21); empty where the address cannot tell."""
    description: str = ""
    """The metadata, when the invoice commits to it; empty when it carries a memo."""


Model = TypeVar("Model", bound=BaseModel)


class _Terms(BaseModel):
    tag: StrictStr
    callback: StrictStr
    minSendable: Annotated[StrictInt, Field(ge=1, le=ALL_MSAT)]
    maxSendable: Annotated[StrictInt, Field(ge=1, le=ALL_MSAT)]
    metadata: StrictStr
    commentAllowed: StrictInt | StrictBool | None = None


class _Invoice(BaseModel):
    pr: StrictStr
    verify: StrictStr | None = None


class _Status(BaseModel):
    settled: StrictBool
    preimage: StrictStr | None = None


def is_lightning_address(text: str) -> bool:
    """Return whether the text has the form ``name@host`` (LUD-16); asks nobody."""
    return _match(text) is not None


def normal_address(text: str) -> str:
    """Return a Lightning address in lower case; raise LightningAddressInvalid."""
    found = _match(text)
    if found is None:
        raise LightningAddressInvalid(
            "A Lightning address looks like name@host, with a-z, 0-9, '-', '_', '.' and '+'."
        )
    return found.group()


class LnurlClient:
    """Follows Lightning addresses. ``allow_local`` is for tests and regtest only.

    ``own_url`` is where this server answers, whose own addresses are refused.
    """

    def __init__(
        self, timeout_s: float, allow_local: bool, clock: Clock = system_clock, own_url: str = ""
    ) -> None:
        self._json = SafeJson(timeout_s, allow_local, own_url)
        self._allow_local = allow_local
        self._turns = _Turns()
        self._clock = clock

    def refuse_own(self, address: str) -> None:
        """Raise LightningAddressInvalid for an address that this very server serves.

        Our node would pay itself, and one of our threads wait for another. Asks nobody.
        """
        found = _match(address)
        if found and self._json.is_own(f"https://{found['host']}{found['port'] or ''}"):
            raise LightningAddressInvalid(
                f"{found.group()} is an address of this very server, which cannot pay itself. "
                "Give one at another provider."
            )

    def pay_terms(self, address: str) -> PayTerms:
        """Return what an address takes.

        Raises LightningAddressInvalid, LnurlForbidden, LnurlUnreachable, LnurlRefused.
        """
        found = _match(address)
        if found is None:
            raise LightningAddressInvalid("A Lightning address looks like name@host.")
        if found["port"] and not self._allow_local:
            # LUD-16 knows none; with one, anybody could look which ports a host has open.
            raise LightningAddressInvalid("A Lightning address has no port.")
        scheme = self._json.scheme_for(found["host"])
        host = found["host"] + (found["port"] or "")
        self.refuse_own(address)
        answer = self._json.get(f"{scheme}://{host}/.well-known/lnurlp/{found['name']}")
        return _terms(answer)

    def request_invoice(
        self, address: str, amount_msat: int, network: str, comment: str = ""
    ) -> LnurlInvoice:
        """Return an invoice for exactly ``amount_msat``; asks twice, each within the timeout.

        A comment that the address does not take is shortened or left out. Raises
        LightningAddressInvalid (also for an amount that the address does not take),
        LnurlForbidden, LnurlUnreachable, LnurlRefused.
        """
        with self._turns.taken(address.rpartition("@")[2].lower()):
            return self._request_invoice(address, amount_msat, network, comment)

    def _request_invoice(
        self, address: str, amount_msat: int, network: str, comment: str
    ) -> LnurlInvoice:
        terms = self.pay_terms(address)
        if not terms.min_msat <= amount_msat <= terms.max_msat:
            least_msat = msat_to_sat_ceil(terms.min_msat) * MSAT_PER_SAT
            most_msat = terms.max_msat // MSAT_PER_SAT * MSAT_PER_SAT
            raise LightningAddressInvalid(
                f"This address takes {format_sat(least_msat)} to {format_sat(most_msat)}."
            )
        url = _with_query(terms.callback, amount_msat, comment[: terms.comment_chars])
        answer = _parse(_Invoice, self._json.get(url))
        invoice = self._checked(answer.pr, amount_msat, network)
        commits = _commits(invoice, terms.metadata)
        return LnurlInvoice(
            bolt11=invoice.bolt11,
            payment_hash=invoice.payment_hash,
            check_url=answer.verify or "",
            description=terms.metadata if commits else "",
        )

    def request_sale(
        self, address: str, amount_msat: int, network: str, comment: str = ""
    ) -> LnurlInvoice:
        """Return an invoice as ``request_invoice`` does, whose payment can be asked about.

        Raises LnurlRefused without such an address (LUD-21), LnurlForbidden for one that we
        may not call, and LnurlUnreachable for one that is nowhere: nobody is invited to pay
        what we could never see.
        """
        invoice = self.request_invoice(address, amount_msat, network, comment)
        if not invoice.check_url:
            raise LnurlRefused(
                "It cannot say whether an invoice was paid: its provider does not offer "
                "LUD-21 (verify), so that nothing can be sold through it."
            )
        try:
            self._json.require_allowed(invoice.check_url)
        except (LnurlForbidden, LnurlUnreachable) as error:
            words = f"Its provider names no usable address for LUD-21 (verify): {error.detail}"
            raise type(error)(words) from None
        return invoice

    def require_sellable(self, address: str, network: str) -> str:
        """Return an address in its normal form when something can be sold through it.

        It is asked for an invoice over its smallest amount, which nobody pays. Raises
        LightningAddressInvalid, which says what it cannot do.
        """
        address = normal_address(address)
        try:
            smallest_msat = _whole_sats(self.pay_terms(address).min_msat)
            invoice = self.request_sale(address, smallest_msat, network)
            self.check_paid(invoice.check_url, invoice.payment_hash)
        except (LnurlUnreachable, LnurlRefused, LnurlForbidden) as error:
            raise LightningAddressInvalid(error.detail) from None
        return address

    def check_paid(self, check_url: str, payment_hash: str) -> tuple[bool, str]:
        """Ask whether an invoice was paid (LUD-21): whether, and the preimage if told.

        Without a preimage it is the provider's word alone. Raises LnurlForbidden,
        LnurlUnreachable, LnurlRefused (also for a preimage that does not fit).
        """
        answer = _parse(_Status, self._json.get(check_url))
        if not answer.settled:
            return False, ""
        preimage = (answer.preimage or "").lower()
        if preimage and not preimage_fits(preimage, payment_hash):
            raise LnurlRefused("The preimage that was told does not belong to the invoice.")
        return True, preimage

    def _checked(self, text: str, amount_msat: int, network: str) -> Decoded:
        try:
            invoice = decode(text, network)
        except AddressInvalid as error:
            raise LnurlRefused(f"The address sent an invoice of no use: {error.detail}") from None
        if invoice.amount_msat != amount_msat:
            raise LnurlRefused("The address sent an invoice for another amount.")
        if invoice.expires_at <= self._clock():
            raise LnurlRefused("The address sent an invoice that has expired.")
        return invoice


class _Turns:
    """Lets so many threads wait for one host, and no more.

    Readers' clicks wait here, each in a thread of the server: one provider that hangs, or
    wants to, would soon have them all, and nobody could read or pay anywhere.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, host: str) -> Iterator[None]:
        """Take a turn; raise LnurlUnreachable when none becomes free soon."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._taken[host] < MOST_AT_ONCE, TURN_WAIT_S):
                raise LnurlUnreachable(f"Many wait for {host} already. Try again in a moment.")
            self._taken[host] += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken[host] -= 1
                if not self._taken[host]:
                    del self._taken[host]
                self._changed.notify_all()


def _whole_sats(amount_msat: int) -> int:
    """Return the amount rounded up to whole sats: many providers keep no fractions."""
    return msat_to_sat_ceil(amount_msat) * MSAT_PER_SAT


def _match(text: str) -> re.Match[str] | None:
    bare = text.strip().lower().removeprefix("lightning:")
    return _ADDRESS.fullmatch(bare) if len(bare) <= _MAX_ADDRESS_CHARS else None


def _terms(answer: dict[str, object]) -> PayTerms:
    terms = _parse(_Terms, answer)
    if terms.tag != "payRequest":
        raise LnurlRefused("This address takes no payments.")
    if terms.minSendable > terms.maxSendable:
        raise LnurlRefused("The smallest amount is above the largest one.")
    _check_metadata(terms.metadata)
    return PayTerms(
        callback=terms.callback,
        min_msat=terms.minSendable,
        max_msat=terms.maxSendable,
        metadata=terms.metadata,
        comment_chars=max(0, int(terms.commentAllowed or 0)),
    )


def _check_metadata(text: str) -> None:
    """Refuse metadata that is not a list with one ``text/plain`` entry (LUD-06)."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        entries = None
    kinds = (
        [e[0] for e in entries if isinstance(e, list) and e] if isinstance(entries, list) else []
    )
    if kinds.count("text/plain") != 1:
        raise LnurlRefused("The address does not say what is paid for, as LUD-06 wants it.")


def _commits(invoice: Decoded, metadata: str) -> bool:
    """Return whether the invoice commits to the metadata.

    LUD-06 wanted the hash and since 2023 allows a memo; a hash of something else means
    that the invoice is not for what the payer was shown.
    """
    if invoice.description_hash is None:
        return False
    if invoice.description_hash != hashlib.sha256(metadata.encode()).hexdigest():
        raise LnurlRefused("The invoice is for something else than the address says.")
    return True


def _with_query(callback: str, amount_msat: int, comment: str) -> str:
    """Add the parameters; the callback may bring some of its own (LUD-06)."""
    try:
        url = httpx.URL(callback).copy_set_param("amount", str(amount_msat))
        return str(url.copy_set_param("comment", comment) if comment else url)
    except (httpx.InvalidURL, ValueError):
        raise LnurlForbidden("The address names a callback that is no address.") from None


def _parse(model: type[Model], answer: dict[str, object]) -> Model:
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        fields = ", ".join(str(problem["loc"][0]) for problem in error.errors() if problem["loc"])
        raise LnurlRefused(f"The answer does not follow the protocol: {fields}.") from None
