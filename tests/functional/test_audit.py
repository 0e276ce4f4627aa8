"""The log of a merchant and of an account: complete, filtered, paged, and safe to take along."""

import ast
import csv
import io
import re
from html import unescape

import pytest

from bitcache_server.http.dashboard.words import ACTIONS, DETAILS
from bitcache_server.models.accounts import Account
from bitcache_server.models.session import write_transaction
from bitcache_server.services.account_admin import end_sessions
from bitcache_server.services.audit_log import PAGE_SIZE
from bitcache_server.services.audit_trail import note
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant
from tests.shape.tree import SERVER, parse, python_files
from tests.support.dashboard import Person, sign_in
from tests.support.world import World

FORMULA = '=HYPERLINK("https://evil.example";"click")'
MARKUP = "<script>alert(1)</script>"


def write(world: World, action: str, person: Person | None = None, **more: object) -> None:
    """Put a line into the merchant's log, a second after the one before."""
    world.clock.pass_time(1)
    with write_transaction(world.session):
        note(
            world.deps,
            world.session,
            action,
            merchant_id=str(more.pop("merchant_id", world.merchant_id)),
            account_id=person.account_id if person else None,
            subject=str(more.pop("subject", "")),
            **more,
        )


def deeds(html: str) -> list[str]:
    return [unescape(words) for words in re.findall(r'class="deed"><strong>([^<]*)', html)]


def query(person: Person, words: str) -> str:
    [found] = re.findall(rf'href="(\?[^"]*)">{words}<', person.get("./audit").text)
    return unescape(found)


def test_the_log_says_who_did_what_when(world: World) -> None:
    owner = sign_in(world)
    write(world, "member.role_changed", owner, subject="ac_x", before="owner", after="editor")
    write(
        world,
        "something.new",
        None,
        price_msat=1000,
        until=60,
        list=["a", "b"],
        nothing=None,
        empty="",
    )
    page = owner.get("./audit")
    assert page.status_code == 200
    assert deeds(page.text) == ["something.new", "Changed somebody's role"]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))
    assert "Ada Lovelace · 15 Jan 2027, 08:00 UTC Before Owner After Editor Id ac_x" in text
    assert "Command line or server · 15 Jan 2027, 08:00 UTC empty - list a, b nothing - " in text
    assert "price msat 1,000 To 1 Jan 1970, 00:01 UTC" in text


def test_only_owners_read_it_and_only_their_own(world: World) -> None:
    owner = sign_in(world)
    with write_transaction(world.session):
        other_id = add_merchant(world.deps, world.session, "Another", None).id
    other = sign_in(world, merchant_id=other_id)
    write(world, "secret.deed", owner)
    for path in ("/audit", "/audit.csv"):
        assert sign_in(world, Role.EDITOR).get(f".{path}").status_code == 403
        assert sign_in(world, Role.ACCOUNTANT).get(f".{path}").status_code == 403
        assert other.get(owner.path(path)).status_code == 404
        assert "secret.deed" not in other.get(f".{path}").text
        assert "secret.deed" not in other.get(f".{path}?who={owner.account_id}").text


def test_filters_by_person_and_deed(world: World) -> None:
    owner, second = sign_in(world), sign_in(world)
    write(world, "a.one", owner)
    write(world, "b.two", second)
    write(world, "a.one", second)
    write(world, "c.three", None)

    def found(query: str) -> list[str]:
        return deeds(owner.get(f"./audit?{query}").text)

    assert found("") == ["c.three", "a.one", "b.two", "a.one"]
    assert found(f"who={second.account_id}") == ["a.one", "b.two"]
    assert found("action=a.one") == ["a.one", "a.one"]
    assert found(f"who={owner.account_id}&action=a.one") == ["a.one"]
    assert found("who=-") == ["c.three"]
    assert found("who=ac_nobody") == []
    page = owner.get(f"./audit?who={second.account_id}&action=b.two").text
    assert f'<option value="{second.account_id}" selected>' in page
    assert '<option value="b.two" selected>' in page
    assert f"audit.csv?who={second.account_id}&amp;action=b.two" in page


def test_pages_go_back_to_the_first_line(world: World) -> None:
    owner = sign_in(world)
    for number in range(PAGE_SIZE + 3):
        write(world, f"deed.{number}", owner)
    first = owner.get("./audit").text
    assert deeds(first) == [f"deed.{n}" for n in range(PAGE_SIZE + 2, 2, -1)]
    second = owner.get(f"./audit{query(owner, 'Older')}").text
    assert deeds(second) == ["deed.2", "deed.1", "deed.0"]
    assert "Older" not in second
    assert "Newest" in second


@pytest.mark.parametrize("cursor", ["x", "%00", "MTox", "a" * 500, "MTA6eA"])
def test_a_strange_cursor_does_no_harm(sqlite_world: World, cursor: str) -> None:
    owner = sign_in(sqlite_world)
    assert owner.get(f"./audit?cursor={cursor}").status_code in (200, 422)
    assert owner.get(f"/account/log?cursor={cursor}").status_code in (200, 422)


@pytest.mark.parametrize("who", ["%00", "%ff", "x" * 5_000, "-"])
def test_a_strange_filter_does_no_harm(world: World, who: str) -> None:
    assert sign_in(world).get(f"./audit?who={who}&action={who}").status_code in (200, 422)


def test_no_spreadsheet_runs_what_somebody_wrote(world: World) -> None:
    owner = sign_in(world)
    with write_transaction(world.session):
        world.session.get_one(Account, owner.account_id).name = FORMULA
    with write_transaction(world.session):
        for number in range(600):
            note(
                world.deps,
                world.session,
                "@SUM(1)" if number == 0 else "item.changed",
                merchant_id=world.merchant_id,
                account_id=owner.account_id,
                subject="+1",
                title=FORMULA,
            )
            world.clock.pass_time(1)
    answer = owner.get("./audit.csv")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="bitcache-log.csv"'
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert len(rows) == 601
    assert rows[0] == ["time", "name", "login", "action", "subject", "detail"]
    assert rows[1][0] == "2027-01-15T08:09:59Z"
    last = rows[-1]
    assert (last[1], last[3], last[4]) == (f"'{FORMULA}", "'@SUM(1)", "'+1")
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")]
    assert len(owner.get("./audit.csv?action=item.changed").text.splitlines()) == 600


def test_the_log_shows_markup_as_text(world: World) -> None:
    owner = sign_in(world)
    with write_transaction(world.session):
        world.session.get_one(Account, owner.account_id).name = MARKUP
    write(world, MARKUP, owner, subject=MARKUP, **{MARKUP: MARKUP})
    for path in ("./audit", "/account/log"):
        page = owner.get(path).text
        assert MARKUP not in page
        assert page.count("&lt;script&gt;") >= 5


def test_an_account_sees_its_own_log_for_every_merchant(world: World) -> None:
    owner, other = sign_in(world), sign_in(world)
    write(world, "a.one", owner)
    write(world, "b.two", other)
    with write_transaction(world.session):
        login = world.session.get_one(Account, owner.account_id).login
        world.clock.pass_time(1)
        assert end_sessions(world.deps, world.session, login) == 1
    answer = owner.get("/account/log")
    assert answer.status_code == 303
    assert answer.location.startswith("/account/sign-in")
    again = other.get("/account/log")
    assert deeds(again.text) == ["b.two"]


def test_what_was_done_to_an_account_is_in_its_log(world: World) -> None:
    owner, other = sign_in(world), sign_in(world)
    assert owner.post(f"./people/{other.account_id}/remove", {}).status_code == 303
    for person in (owner, other):
        assert deeds(person.get("/account/log").text) == ["Removed somebody"]


def notes_of(tree: ast.Module) -> list[ast.Call]:
    """Return the calls of ``note`` and of what modules put around it for themselves."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        call for call in calls if "note" in ast.unparse(call.func).rpartition(".")[2].split("_")
    ]


def strings_of(node: ast.expr) -> list[str]:
    ways = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    return [w.value for w in ways if isinstance(w, ast.Constant) and isinstance(w.value, str)]


def calls_of_note() -> dict[str, set[str]]:
    """Return the actions that services write down, and the names of their details."""
    own = {"merchant_id", "account_id", "subject"}
    found: dict[str, set[str]] = {}
    for path in python_files(SERVER / "services"):
        for call in notes_of(parse(path)):
            names = {keyword.arg for keyword in call.keywords if keyword.arg} - own
            for action in [text for node in call.args for text in strings_of(node)]:
                full = action if "." in action else f"account.{action}"
                found.setdefault(full, set()).update(names)
    return found


def test_every_deed_has_words() -> None:
    known = calls_of_note()
    assert len(known) > 20
    assert sorted(known.keys() - ACTIONS.keys()) == []
    assert sorted(set().union(*known.values()) - DETAILS.keys()) == []
