"""Mail: encrypted, no line of somebody's name becomes a header, and an outbox that tries again."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bitcache_server import wiring
from bitcache_server.delivery.mail import Mail
from bitcache_server.domain.errors import (
    BitcacheError,
    ConfigurationError,
    InvalidRequest,
    MailRefused,
    MailUnreachable,
)
from bitcache_server.extensions import db
from bitcache_server.jobs import all_jobs
from bitcache_server.models.accounts import QueuedMail
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.services.mail_outbox import GIVE_UP_AFTER_S, queue_mail, send_mails
from tests.support.mail_server import SENDER, Mailbox, mail_server
from tests.support.world import START, World, make_settings

TO = "ada@blog.example"


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    with mail_server(tmp_path) as running:
        yield running


@pytest.fixture
def named_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the name mail.example lead to this machine, as a server elsewhere."""
    ask = socket.getaddrinfo

    def answer(host: str, *rest: Any, **named: Any) -> Any:
        return ask("127.0.0.1" if host == "mail.example" else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def send(mail: Mail, subject: str = "Hello", text: str = "Text", to: str = TO) -> None:
    mail.send(to, subject, text, mail_id="ma_1", at=START)


def test_a_mail_is_plain_text_with_a_name_of_its_own(mailbox: Mailbox) -> None:
    send(mailbox.mail, "Grüße", "Ünïcode & <b>marks</b>\n.\nنعم\n")
    [came] = mailbox.mails
    assert came["From"] == SENDER
    assert (came["To"], came["Subject"]) == (TO, "Grüße")
    assert came["Message-ID"] == "<ma_1@example.org>"
    assert came["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    assert came.get_content_type() == "text/plain"
    assert mailbox.texts == ["Ünïcode & <b>marks</b>\n.\nنعم\n"]


@pytest.mark.parametrize(
    "subject",
    [
        "Hi\r\nBcc: eve@evil.example",
        "Hi\nBcc: eve@evil.example",
        "Hi\x0bBcc:\u2028\x85eve",
        "H\x00i",
    ],
)
def test_no_subject_adds_a_header(mailbox: Mailbox, subject: str) -> None:
    send(mailbox.mail, subject)
    [came] = mailbox.mails
    assert came["Bcc"] is None
    assert len(came["Subject"].splitlines()) == 1
    assert came["Subject"].isprintable()


@pytest.mark.parametrize(
    "to",
    [
        "",
        "ada",
        "ada@localhost",
        "Ada <ada@blog.example>",
        "ada@blog.example, eve@evil.example",
        "ada@blog.example\r\nBcc: eve@evil.example",
        "ada@blog.example\nRCPT TO:<eve@evil.example>",
        "ädä@blog.example",
        f"{'a' * 260}@blog.example",
    ],
)
def test_an_address_is_one_address(mailbox: Mailbox, to: str) -> None:
    with pytest.raises(InvalidRequest):
        send(mailbox.mail, to=to)
    assert mailbox.mails == []


def test_mail_is_encrypted_from_the_first_byte(tmp_path: Path) -> None:
    with mail_server(tmp_path, "smtps") as mailbox:
        send(mailbox.mail)
        assert len(mailbox.mails) == 1
        assert mailbox.signed_in


@pytest.mark.usefixtures("named_host")
def test_mail_to_another_machine_is_encrypted_by_starttls(tmp_path: Path) -> None:
    with mail_server(tmp_path, "starttls", "mail.example") as mailbox:
        send(mailbox.mail)
        assert len(mailbox.mails) == 1
        assert mailbox.signed_in


@pytest.mark.usefixtures("named_host")
def test_a_server_elsewhere_without_encryption_gets_nothing(mailbox: Mailbox) -> None:
    url = mailbox.url.replace("127.0.0.1", "mail.example")
    with pytest.raises(MailUnreachable):
        send(Mail(url, SENDER, 5.0))
    assert mailbox.mails == []


@pytest.mark.usefixtures("named_host")
@pytest.mark.parametrize("kind", ["smtps", "starttls"])
def test_a_certificate_of_somebody_else_gets_nothing(tmp_path: Path, kind: Any) -> None:
    with mail_server(tmp_path, kind, "other.example") as mailbox:
        url = mailbox.url.replace("other.example", "mail.example")
        with pytest.raises(MailUnreachable) as told:
            send(Mail(url, SENDER, 5.0, mailbox.tls))
        assert mailbox.mails == []
        assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("recipient_answer", "answer", "error"),
    [
        ("550 no such user", "", MailRefused),
        ("450 try later", "", MailUnreachable),
        ("", "554 spam", MailRefused),
        ("", "451 try later", MailUnreachable),
    ],
)
def test_what_a_refusal_means(
    mailbox: Mailbox, recipient_answer: str, answer: str, error: type[BitcacheError]
) -> None:
    mailbox.recipient_answer, mailbox.answer = recipient_answer, answer
    with pytest.raises(error) as told:
        send(mailbox.mail)
    assert "later" not in told.value.detail
    assert "spam" not in told.value.detail


def test_a_wrong_password_is_tried_again_and_is_not_shown(tmp_path: Path) -> None:
    with mail_server(tmp_path, "smtps") as mailbox:
        url = mailbox.url.replace("hunter2", "hunter3")
        with pytest.raises(MailUnreachable) as told:
            send(Mail(url, SENDER, 5.0, mailbox.tls))
        assert "hunter3" not in f"{told.value}{Mail(url, SENDER)!r}"


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"smtp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(MailUnreachable):
            send(Mail(url, SENDER, 0.2))


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("http://mail.example", SENDER),
        ("smtp://", SENDER),
        ("smtp://mail.example:x", SENDER),
        ("smtps://user:hunter2@mail.example", ""),
        ("smtps://user:hunter2@mail.example", "Bitcache"),
    ],
)
def test_settings_that_cannot_be_right_are_told_at_the_start(
    tmp_path: Path, url: str, sender: str
) -> None:
    with pytest.raises(ConfigurationError) as told:
        wiring.build(make_settings(tmp_path, smtp_url=url, mail_from=sender))
    assert "hunter2" not in told.value.detail


def test_without_a_mail_server_nothing_is_queued(sqlite_world: World) -> None:
    world = sqlite_world
    assert world.deps.mail is None
    with write_transaction(world.session):
        assert not queue_mail(world.deps, world.session, TO, "Hello", "Text")
    assert waiting(world) == []
    assert "mails" not in {job.name for job in all_jobs(world.deps)}


def waiting(world: World) -> list[QueuedMail]:
    world.session.rollback()
    return list(world.session.scalars(select(QueuedMail).order_by(QueuedMail.subject)))


@pytest.fixture
def queue(world: World, mailbox: Mailbox) -> Callable[..., Deps]:
    """Return what queues a mail and returns the dependencies with the mail server."""
    deps = replace(world.deps, mail=mailbox.mail)

    def put(subject: str = "Hello", text: str = "A link") -> Deps:
        with write_transaction(world.session):
            assert queue_mail(deps, world.session, TO, subject, text)
        return deps

    return put


def test_a_queued_mail_is_sent_once_and_forgotten(
    world: World, mailbox: Mailbox, queue: Callable[..., Deps]
) -> None:
    deps = queue("One\nline", "A link")
    [row] = waiting(world)
    assert row.subject == "One line"
    assert "A link" not in row.text_sealed
    assert send_mails(deps, world.session) == 1
    assert send_mails(deps, world.session) == 0
    assert mailbox.texts == ["A link\n"]
    assert waiting(world) == []
    [job] = [job for job in all_jobs(deps) if job.name == "mails"]
    assert job.lane == "mails"


def test_a_mail_whose_cause_was_undone_is_not_sent(
    world: World, mailbox: Mailbox, queue: Callable[..., Deps]
) -> None:
    deps = queue()

    def undo() -> None:
        with write_transaction(world.session):
            queue_mail(deps, world.session, TO, "Undone", "Text")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undo()
    assert send_mails(deps, world.session) == 1
    assert [mail["Subject"] for mail in mailbox.mails] == ["Hello"]


def test_a_server_that_is_away_is_tried_again_later_and_later(
    world: World, mailbox: Mailbox, queue: Callable[..., Deps]
) -> None:
    deps = queue()
    mailbox.answer = "451 try later"
    pauses_s = []
    for _ in range(8):
        with pytest.raises(MailUnreachable):
            send_mails(deps, world.session)
        [row] = waiting(world)
        pauses_s.append(row.next_try_at - world.clock.now)
        world.session.rollback()
        assert send_mails(deps, world.session) == 0
        world.clock.pass_time(pauses_s[-1])
    assert pauses_s == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    mailbox.answer = ""
    assert send_mails(deps, world.session) == 1
    [came] = mailbox.mails
    assert came["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"


def test_after_a_day_a_mail_is_given_up(
    world: World, mailbox: Mailbox, queue: Callable[..., Deps], caplog: pytest.LogCaptureFixture
) -> None:
    deps = queue()
    world.clock.pass_time(GIVE_UP_AFTER_S)
    mailbox.answer = "451 try later"
    with caplog.at_level(logging.WARNING), pytest.raises(MailUnreachable):
        send_mails(deps, world.session)
    assert waiting(world) == []
    assert "is dropped" in caplog.text


def test_an_address_that_nobody_has_keeps_no_other_mail(
    world: World, mailbox: Mailbox, queue: Callable[..., Deps]
) -> None:
    queue("First")
    deps = queue("Second")
    mailbox.recipient_answer = "550 no such user"
    assert send_mails(deps, world.session) == 0
    assert waiting(world) == []


def test_one_that_must_wait_keeps_no_other_mail_for_ever(
    world: World, mailbox: Mailbox, queue: Callable[..., Deps]
) -> None:
    queue("First")
    world.clock.pass_time(1)
    deps = queue("Second")
    mailbox.answer = "451 try later"
    with pytest.raises(MailUnreachable):
        send_mails(deps, world.session)
    mailbox.answer = ""
    assert send_mails(deps, world.session) == 1
    assert [mail["Subject"] for mail in mailbox.mails] == ["Second"]


def test_a_mail_that_another_key_has_sealed_is_dropped(
    world: World, mailbox: Mailbox, queue: Callable[..., Deps]
) -> None:
    deps = queue()
    settings = deps.settings.model_copy(
        update={"secret_key": type(deps.settings.secret_key)("k" * 40)}
    )
    assert send_mails(replace(deps, settings=settings), world.session) == 0
    assert (waiting(world), mailbox.mails) == ([], [])


def test_two_that_send_at_once_send_each_mail_once(
    world: World, mailbox: Mailbox, queue: Callable[..., Deps]
) -> None:
    """As when a process lost its lease while the mail server was slow."""
    deps = queue("First")
    queue("Second")
    inside, go_on = threading.Event(), threading.Event()
    mail = mailbox.mail

    class Slow(Mail):
        def send(self, *arguments: Any, **named: Any) -> None:
            inside.set()
            assert go_on.wait(30)
            mail.send(*arguments, **named)

    slow = replace(deps, mail=Slow(mail.url, mail.sender))
    sent: list[int] = []

    def other() -> None:
        with world.app.app_context():
            sent.append(send_mails(slow, db.session()))
            db.session.remove()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert inside.wait(30)
        # Nothing is locked while the other one waits for its mail server.
        sent.append(send_mails(deps, world.session))
    finally:
        go_on.set()
        thread.join()
    assert sorted(sent) == [1, 1]
    assert sorted(mail["Subject"] for mail in mailbox.mails) == ["First", "Second"]
