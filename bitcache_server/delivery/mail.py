"""Mail over SMTP (RFC 5321), encrypted unless the mail server is this machine itself.

All mail is plain text. What people wrote is put into it as text: no header can be added
(``email.message`` refuses line ends in headers, and ``one_line`` leaves none).
"""

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from bitcache_server.domain.errors import (
    ConfigurationError,
    InvalidRequest,
    MailRefused,
    MailUnreachable,
)

#: A mail server that says nothing for so long is not waited for.
TIMEOUT_S = 10.0
#: RFC 5321 section 4.5.3.1.3.
MAX_ADDRESS_CHARS = 254
MAX_SUBJECT_CHARS = 200
_PORTS = {"smtps": 465, "smtp": 587}


@dataclass(frozen=True)
class Mail:
    """A mail server, and in whose name mail is sent. Quiet: it connects when it sends."""

    url: str = field(repr=False)
    """``smtps://user:password@host:port``, or ``smtp://…`` for STARTTLS."""
    sender: str
    """An address, or a name and an address: ``Bitcache <pay@example.org>``."""
    timeout_s: float = TIMEOUT_S
    """For each answer of the server."""
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            complete = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
        except ValueError:
            complete = False
        if not complete:
            raise ConfigurationError(
                "smtp_url (BITCACHE_SMTP_URL) must be smtps://user:password@host, or smtp://… "
                "for a server with STARTTLS."
            )
        try:
            check_address(parseaddr(self.sender)[1])
        except InvalidRequest:
            raise ConfigurationError(
                "mail_from (BITCACHE_MAIL_FROM) must be the sender of mail, such as "
                "Bitcache <pay@example.org>."
            ) from None

    def send(self, to: str, subject: str, text: str, *, mail_id: str, at: int) -> None:
        """Send a mail now; ``at`` is its date in seconds since 1970.

        ``mail_id`` names it for ever: who gets it twice can tell by the Message-ID. Raises
        MailUnreachable when it may work later, MailRefused when never, InvalidRequest for an
        address that is none.
        """
        message = self._message(check_address(to), subject, text, mail_id, at)
        try:
            server = self._connect()
            try:
                server.send_message(message)
                # It is sent: whatever comes of the farewell.
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()
            finally:
                server.close()
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
            raise _refusal(error) from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailUnreachable(
                f"The mail server did not take the mail ({type(error).__name__})."
            ) from error

    def _message(self, to: str, subject: str, text: str, mail_id: str, at: int) -> EmailMessage:
        name, address = parseaddr(self.sender)
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(one_line(name), addr_spec=address)
        message["To"] = Address(addr_spec=to)
        message["Subject"] = one_line(subject)[:MAX_SUBJECT_CHARS]
        message["Date"] = format_datetime(datetime.fromtimestamp(at, UTC))
        message["Message-ID"] = f"<{mail_id}@{address.rpartition('@')[2]}>"
        # RFC 3834: nobody's holiday answers to it.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message

    def _connect(self) -> smtplib.SMTP:
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, timeout=self.timeout_s, context=self.tls
            )
        else:
            server = smtplib.SMTP(host, port, timeout=self.timeout_s)
        try:
            if parts.scheme == "smtp" and not _is_loopback(host):
                server.starttls(context=self.tls)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
        except BaseException:
            server.close()
            raise
        return server


def check_address(text: str) -> str:
    """Return a mail address without outer spaces; raise InvalidRequest where it is none.

    One address in ASCII and nothing else: no name, no comma, no second line.
    """
    address = text.strip()
    with suppress(MessageError, ValueError, IndexError):
        plain = address.isascii() and address.isprintable() and len(address) <= MAX_ADDRESS_CHARS
        parsed = Address(addr_spec=address)
        if plain and parsed.username and "." in parsed.domain and parsed.addr_spec == address:
            return address
    raise InvalidRequest("This is not a mail address.")


def one_line(text: str) -> str:
    """Return what people wrote, on one line and without marks that nobody sees."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(
    error: smtplib.SMTPRecipientsRefused | smtplib.SMTPResponseException,
) -> MailRefused | MailUnreachable:
    """Return what an answer means; its words are strangers' and are not passed on."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = max(code for code, _ in error.recipients.values())
        if code >= 500:
            return MailRefused(f"The mail server takes no mail for this address ({code}).")
    elif isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500:
        return MailRefused(f"The mail server refused this mail ({error.smtp_code}).")
    else:
        code = error.smtp_code
    # A sign-in or a sender that is refused is the operator's to mend: it may work later.
    return MailUnreachable(f"The mail server refused for now ({code}).")
