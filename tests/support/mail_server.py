"""A real mail server on loopback that keeps what it gets, and fails when a test says so."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from bitcache_server.delivery.mail import Mail
from tests.support.certificates import certificate_for

SENDER = "Bitcache <pay@example.org>"
#: As they stand in a URL, and as the server gets them.
USER_IN_URL, USER, PASSWORD = (
    "post%40example.org:hunter2%2Fmail@",
    b"post@example.org",
    b"hunter2/mail",
)

Kind = Literal["plain", "starttls", "smtps"]


@dataclass
class Mailbox:
    """What came in, and what the server answers instead of taking it."""

    mails: list[EmailMessage] = field(default_factory=list)
    answer: str = ""
    """To each mail."""
    recipient_answer: str = ""
    signed_in: bool = False
    url: str = ""
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    @property
    def mail(self) -> Mail:
        """Return what sends mail to this server."""
        return Mail(self.url, SENDER, 5.0, self.tls)

    @property
    def texts(self) -> list[str]:
        """Return the texts of the mails that came in."""
        return [str(mail.get_content()).replace("\r\n", "\n") for mail in self.mails]

    async def handle_RCPT(  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take or refuse one recipient."""
        if self.recipient_answer:
            return self.recipient_answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep a mail, or refuse it."""
        if self.answer:
            return self.answer
        assert isinstance(envelope.content, bytes)
        message = BytesParser(policy=default).parsebytes(envelope.content)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        self.signed_in = bool(session.authenticated)
        return "250 OK"


@contextmanager
def mail_server(folder: Path, kind: Kind = "plain", host: str = "127.0.0.1") -> Iterator[Mailbox]:
    """Run a server on 127.0.0.1; with TLS it is the one that its certificate calls ``host``."""
    mailbox = Mailbox()
    tls = None if kind == "plain" else _server_tls(folder, host, mailbox)
    loop = asyncio.new_event_loop()

    def protocol() -> SMTP:
        return SMTP(
            mailbox,
            hostname="mail.example",
            loop=loop,
            tls_context=tls if kind == "starttls" else None,
            require_starttls=kind == "starttls",
            authenticator=_check,
            auth_require_tls=kind == "starttls",
            auth_required=kind == "starttls",
        )

    starting = loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if kind == "smtps" else None)
    server = loop.run_until_complete(starting)
    thread = threading.Thread(target=loop.run_forever, name="mail server")
    thread.start()
    port = server.sockets[0].getsockname()[1]
    scheme, user = ("smtps" if kind == "smtps" else "smtp"), "" if kind == "plain" else USER_IN_URL
    mailbox.url = f"{scheme}://{user}{host}:{port}"
    try:
        yield mailbox
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_end(server))
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _check(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
    return AuthResult(success=known, handled=False)


def _server_tls(folder: Path, host: str, mailbox: Mailbox) -> ssl.SSLContext:
    made = certificate_for(folder, host)
    mailbox.tls = ssl.create_default_context(cafile=str(made.authority))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(made.chain, made.key)
    return server
