"""Who may do what, and what becomes of hostile input, on a real WordPress."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext
from sqlalchemy import select

from bitcache_server.extensions import db
from bitcache_server.models.catalog import SiteKey
from tests.e2e.wall import wait_until
from tests.support.wordpress import NEWEST, PLUGIN, WordPressSite
from tests.wordpress.articles import PAID, Article, upload, write
from tests.wordpress.conftest import Connected
from tests.wordpress.doors import (
    ACTIONS,
    FORMS,
    HOOKS,
    INPUTS,
    PAGES,
    ROUTES,
    Form,
    Things,
    hooks_of,
    inputs_of,
    routes_of,
)
from tests.wordpress.people import ADMIN, ROLES, Person, everybody
from tests.wordpress.shop import WordPressShop

CONTENT = "?rest_route=/bitcache/v1/content"
_STATE = """
return array( get_option( 'bitcache_settings' ), get_option( 'bitcache_connection' ),
    get_option( 'bitcache_secret' ), get_user_meta( 1, '_bitcache_connect_1', true ) );
"""
_FREE = """
delete_user_meta( $input['things']['user'], 'bitcache_price' );
delete_term_meta( $input['things']['category'], 'bitcache_price' );
delete_post_meta( $input['things']['post'], '_bitcache_price' );
delete_post_meta( $input['things']['file'], '_bitcache_price' );
"""
#: What a stranger must never read, nor anybody below an administrator.
WEBHOOK = "whsec_" + base64.b64encode(b"the secret of the test's webhook").decode()


@dataclass
class World:
    """A connected site, with somebody of each role."""

    site: WordPressSite
    shop: WordPressShop
    people: dict[str, Person]
    article: Article
    things: Things

    @property
    def admin(self) -> Person:
        """Return the administrator."""
        return self.people[ADMIN]

    def state(self) -> object:
        """Return everything that the settings page can change."""
        return self.site.eval(_STATE)

    def secrets(self) -> list[str]:
        """Return what is never printed."""
        with self.shop.world.app.app_context():
            query = select(SiteKey.secret).where(SiteKey.site_id == self.shop.world.site_id)
            keys = list(db.session().scalars(query))
        return [self.shop.world.secret, *keys, WEBHOOK, WEBHOOK.removeprefix("whsec_")]


@pytest.fixture(scope="module")
def world(connected: Connected) -> Iterator[World]:
    with connected(version=NEWEST) as (site, shop), everybody(site) as people:
        article = write(site, shop)
        category = site.eval("return wp_create_category( 'Lakes' );")
        things = Things(site.create_post("Mine."), category, 1, upload(site, "lake.jpg"))
        hook = {"url": "https://other.test/", "id": "we_1", "secret": WEBHOOK}
        site.option("bitcache_events", hook)
        yield World(site, shop, people, article, things)


def test_every_door_is_in_the_list(world: World) -> None:
    assert routes_of(world.site) == ROUTES
    assert hooks_of(world.site) == HOOKS
    assert inputs_of(PLUGIN) == INPUTS
    menu = world.admin.client.get("wp-admin/profile.php").text
    linked = {part.split('"')[0].split("'")[0] for part in menu.split("page=bitcache")[1:]}
    assert linked == {page.split("page=bitcache")[1] for page in PAGES}


@pytest.mark.parametrize("role", ROLES)
def test_pages_are_for_administrators(world: World, role: str) -> None:
    for page in PAGES:
        answer = world.people[role].client.get(f"wp-admin/{page}")
        wanted = {ADMIN: 200, "stranger": 302}.get(role, 403)
        assert answer.status_code == wanted, page
        if role == "stranger":
            assert "wp-login.php" in answer.headers["Location"]


@pytest.mark.parametrize("role", ROLES)
def test_buttons_need_the_right_person_and_the_right_nonce(world: World, role: str) -> None:
    person, before = world.people[role], world.state()
    for action in ACTIONS:
        nonces = [None, "0123456789", person.nonce("another")]
        if role != ADMIN:
            nonces.append(person.nonce(action.nonce or action.name))
        for nonce in nonces:
            answer = action.press(person, nonce, world.shop.origin)
            assert "Location" not in answer.headers, (action.name, nonce)
            # Who is not logged in has no action at all.
            refused = 400 if role == "stranger" else 403
            assert answer.status_code == refused, (action.name, nonce)
    assert world.state() == before


def test_buttons_work_for_the_administrator(world: World) -> None:
    """Or the test before this one would prove nothing."""
    for action in ACTIONS:
        before = world.state()
        nonce = world.admin.nonce(action.nonce or action.name)
        answer = action.press(world.admin, nonce, world.shop.origin)
        assert answer.status_code == action.status, (action.name, answer.text[:300])
        if action.changes:
            assert world.state() != before, action.name
    assert world.site.eval("return \\Bitcache\\Server\\Connection::is_connected();") is False
    world.site.eval("delete_option( 'bitcache_settings' );")
    world.shop.connect(world.site)


def test_the_leak_test_is_run_by_its_own_button_alone(world: World) -> None:
    path = f"wp-admin/{PAGES[1]}"
    for role in ROLES:
        person = world.people[role]
        nonces = [None, "0123456789", person.nonce("another")]
        if role != ADMIN:
            nonces.append(person.nonce("bitcache-leak-test"))
        for nonce in nonces:
            data = {"bitcache_run": "1"} | ({} if nonce is None else {"_wpnonce": nonce})
            answer = person.client.post(path, data=data)
            assert answer.status_code == (302 if role == "stranger" else 403), (role, nonce)
    assert not world.site.option("bitcache_leak_test")
    # The page's own button has the nonce that was tried.
    page = world.admin.client.get(path).text
    assert f'name="_wpnonce" value="{world.admin.nonce("bitcache-leak-test")}"' in page


@pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
def test_prices_are_set_by_who_may_edit(world: World, form: Form) -> None:
    things = world.things

    def stored() -> str:
        # Quick edit waits for who has just edited.
        world.site.eval("delete_post_meta( $input['id'], '_edit_lock' );", id=things.post)
        return str(world.site.eval(form.read, things=asdict(things)))

    for number, role in enumerate(ROLES):
        person, before = world.people[role], stored()
        price = f"1.{number + 1}"
        action = form.nonce.replace("FILE", str(things.file))
        if action:
            for nonce in (None, "0123456789", person.nonce("another")):
                form.send(person, things, price, nonce)
            assert stored() == before, role
        form.send(person, things, price, person.nonce(action))
        assert stored() == (price if role in form.may else before), role
    world.site.eval(_FREE, things=asdict(things))


@pytest.mark.parametrize("role", ["subscriber", "contributor", "author"])
def test_only_who_publishes_has_a_price_in_the_profile(world: World, role: str) -> None:
    person = world.people[role]
    mine = Things(0, 0, person.id, 0)
    [form] = [form for form in FORMS if form.name == "author"]
    form.send(person, mine, "2.5", person.nonce(form.nonce))
    wanted = "2.5" if role == "author" else ""
    assert world.site.eval(form.read, things=asdict(mine)) == wanted
    assert ("bitcache_author" in person.client.get("wp-admin/profile.php").text) is bool(wanted)


def test_cookies_alone_set_nothing_over_rest(world: World) -> None:
    answer = world.admin.client.post(
        f"?rest_route=/wp/v2/posts/{world.things.post}", json={"meta": {"_bitcache_price": "9"}}
    )
    assert answer.status_code == 401


def test_contributors_price_their_own_drafts_and_no_others(world: World) -> None:
    body = {"title": "Mine", "meta": {"_bitcache_price": "0.5", "_bitcache_currency": "EUR"}}
    person = world.people["contributor"]
    made = person.rest("POST", "wp/v2/posts", json={**body, "status": "draft"})
    assert made.status_code == 201
    assert made.json()["meta"]["_bitcache_price"] == "0.5"
    for other in ("author", "subscriber"):
        path = f"wp/v2/posts/{made.json()['id']}"
        assert world.people[other].rest("POST", path, json=body).status_code == 403
        assert world.people[other].rest("GET", path).status_code == 403


@pytest.mark.parametrize("role", ROLES)
def test_secrets_are_printed_for_nobody(world: World, role: str) -> None:
    person, secrets = world.people[role], world.secrets()
    post = world.article.id
    pages = ["", world.article.url, "?feed=rss2"] + [
        f"wp-admin/{page}"
        for page in (
            *PAGES, "edit.php", "post-new.php", f"post.php?post={post}&action=edit",
            "options.php", "options-general.php", "profile.php", "upload.php", "plugins.php",
            "edit-tags.php?taxonomy=category", "site-health.php?tab=debug", "export.php",
        )
    ]  # fmt: skip
    for path in pages:
        said = person.client.get(path, follow_redirects=True).text
        assert not [secret for secret in secrets if secret in said], path
    routes = ("", "wp/v2/settings", "wp/v2/users/me", f"wp/v2/posts/{post}", "wp/v2/posts",
              "wp/v2/types", f"wp/v2/posts/{post}/revisions", "bitcache/v1")  # fmt: skip
    for route in routes:
        for context in ("view", "edit"):
            answer = person.rest("GET", route, params={"context": context})
            assert not [secret for secret in secrets if secret in answer.text], route
            sees_standing = "bitcache" in (answer.json() if route == routes[3] else {})
            assert sees_standing is (
                route == routes[3] and context == "edit" and role in {"editor", ADMIN}
            ), route
            if route == "wp/v2/settings":
                assert answer.status_code == (200 if role == ADMIN else 403 if person.id else 401)
                assert "bitcache" not in answer.text


@pytest.mark.parametrize("role", ["subscriber", "contributor", "author"])
def test_who_may_not_edit_a_post_learns_nothing_of_it(world: World, role: str) -> None:
    person, post = world.people[role], world.article.id
    world.site.eval(
        "wp_update_post( wp_slash( array( 'ID' => $input['id'], 'post_title' => 'The lake' ) ) );"
        "_wp_put_post_revision( $input['id'] ); _wp_put_post_revision( $input['id'], true );",
        id=post,
    )
    for route in (f"{post}/revisions", f"{post}/autosaves", f"{post}?context=edit"):
        path, _, query = route.partition("?")
        parameters = dict([query.split("=")]) if query else {}
        answer = person.rest("GET", f"wp/v2/posts/{path}", params=parameters)
        assert answer.status_code == 403, route
    for word in ("bell", "under it all", PAID, "%bell%", "b_ll"):
        for route in ("wp/v2/posts", "wp/v2/search"):
            answer = person.rest("GET", route, params={"search": word})
            assert answer.json() == [], (route, word)
            assert answer.headers["X-WP-Total"] == "0"
        page = person.client.get("", params={"s": word}).text
        assert "search-no-results" in page
        listed = person.client.get("wp-admin/edit.php", params={"s": word}).text
        assert f"post-{post}" not in listed
    assert person.rest("GET", "wp/v2/posts", params={"search": "lake"}).json() != []


def test_sql_in_a_search_stays_text(world: World) -> None:
    """A word that a database misunderstood would be in WordPress' log, which must be empty."""
    for word in ("' OR 1=1 -- ", "%' OR '1'='1", '") UNION SELECT 1,2 -- ', "\\' OR 1 #", "%s%d"):
        answer = world.site.http.get("", params={"s": word})
        assert answer.status_code == 200
        assert PAID not in answer.text
        answer = world.site.rest("GET", "wp/v2/posts", params={"search": word})
        assert answer.json() == []


BODIES = {
    "nothing": b"",
    "no JSON": b"grant=x",
    "a list": b"[1, 2]",
    "a text": b'"text"',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep in a field": b'{"grant": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "huge": b'{"grant": "' + b"x" * 3_000_000 + b'"}',
    "wrong types": b'{"grant": {"a": 1}, "post": [1], "part": {"a": 1}, "n": [], "forget": "yes"}',
    "no UTF-8": b'{"grant": "\xff\xfe"}',
    "zero bytes": b'{"grant": "\\u0000", "part": "\\u0000"}',
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", [CONTENT, "?bitcache_content=1"])
def test_strange_bodies_open_nothing(world: World, path: str, name: str) -> None:
    headers = {"Content-Type": "application/json"}
    for query in (f"&post={world.article.id}&part=post", "", "&post[]=1&part[]=post"):
        answer = world.site.http.post(path + query, content=BODIES[name], headers=headers)
        assert answer.status_code in {400, 401, 404}, query
        assert PAID not in answer.text
        assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    "cookie",
    ["", "x", "A" * 43, "A" * 8_000, "' OR 1=1 --", "%00" * 43, "%C3%A4" * 43, "A" * 42 + "+"],
)
def test_strange_reader_cookies_open_nothing(world: World, cookie: str) -> None:
    for name in ("bitcache_reader", "bitcache_reader[]", "bitcache_reader[a][b]"):
        answer = world.site.http.post(
            f"{CONTENT}&post={world.article.id}&part=post",
            json={"grant": None},
            headers={"Cookie": f"{name}={cookie}"},
        )
        assert answer.status_code == 401
        assert PAID not in answer.text


def signed(body: bytes, at: int, key: str = WEBHOOK, number: str = "msg_1") -> dict[str, str]:
    """Return the headers of an event by the Standard Webhooks specification."""
    raw = base64.b64decode(key.removeprefix("whsec_"))
    mac = hmac.new(raw, f"{number}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": number, "webhook-timestamp": str(at), "webhook-signature": signature}


def test_events_are_taken_from_the_server_alone(world: World) -> None:
    body, now = json.dumps({"type": "order.paid", "data": {}}).encode(), int(time.time())
    good = signed(body, now)
    other = "whsec_" + base64.b64encode(b"another secret").decode()
    for headers in (
        {},
        {**good, "webhook-signature": ""},
        {**good, "webhook-signature": "v1,"},
        {**good, "webhook-signature": "v1," + "A" * 44},
        {**good, "webhook-id": "msg_2"},
        {**good, "webhook-timestamp": str(now + 1)},
        {**good, "webhook-timestamp": "x"},
        signed(body, now, other),
        signed(body, now - 3_600),
        signed(body, now + 3_600),
        signed(b"{}", now),
    ):
        answer = world.site.rest("POST", "bitcache/v1/events", content=body, headers=headers)
        assert answer.status_code == 401, headers
    answer = world.site.rest("POST", "bitcache/v1/events", content=body, headers=good)
    assert answer.status_code == 204
    world.site.option("bitcache_events", {})
    empty = hmac.new(b"", f"msg_1.{now}.".encode() + body, hashlib.sha256).digest()
    headers = {**good, "webhook-signature": "v1," + base64.b64encode(empty).decode()}
    answer = world.site.rest("POST", "bitcache/v1/events", content=body, headers=headers)
    assert answer.status_code == 401


def test_a_pay_button_sells_what_its_seal_says(world: World) -> None:
    block = '<!-- wp:bitcache/pay-button {"amount":"5","currency":"EUR","title":"A book"} /-->'
    url = world.site.permalink(world.site.create_post(block))
    page = world.site.http.get(url).text
    sold = json.dumps({"amount": "5", "currency": "EUR", "title": "A book"}, separators=(",", ":"))
    seal = page.split('name="bitcache_seal" value="')[1].split('"')[0]

    def press(name: str, mark: object, referrer: str = "") -> tuple[int, str]:
        data = {"bitcache_pay": name, "bitcache_seal": mark}
        headers = {"Referer": referrer} if referrer else {}
        answer = world.site.http.post("", data=data, headers=headers)
        return answer.status_code, answer.headers.get("Location", "")

    for forged in ("", "0", seal[:-1], seal.upper() if seal.upper() != seal else "x"):
        assert press(sold, forged) == (400, "")
    assert press(sold.replace("5", "0.01"), seal) == (400, "")
    for referrer, back in {
        url: url,
        "": world.site.url,
        "https://evil.test/": world.site.url,
        "//evil.test": world.site.url,
        "https://127.0.0.1@evil.test/": world.site.url,
        "javascript:alert(1)": world.site.url,
    }.items():
        status, location = press(sold, seal, referrer)
        assert status == 303
        assert location.startswith(world.shop.origin + "/order?")
        query = parse_qs(urlsplit(location).query)
        assert query["return_url"][0].rstrip("/") == back.rstrip("/"), referrer
        assert query["amount"] == ["5"]


def test_only_who_asked_can_bring_the_answer(world: World) -> None:
    before = world.site.option("bitcache_secret")
    connect = ACTIONS[3]
    asked = connect.press(world.admin, world.admin.nonce(connect.name), world.shop.origin)
    query = parse_qs(urlsplit(asked.headers["Location"]).query)
    assert asked.headers["Location"].startswith(world.shop.origin + "/connect/authorize?")
    [state] = query["state"]
    wrong = {
        "another state": {"code": "c", "state": "x" * 43, "iss": world.shop.origin},
        "no state": {"code": "c", "iss": world.shop.origin},
        "lists": {"code[]": "c", "state[]": state, "iss": world.shop.origin},
        "long": {"code": "c", "state": "x" * 9_000, "iss": world.shop.origin},
    }
    for name, answer in wrong.items():
        world.admin.client.get("wp-admin/admin.php", params={"page": "bitcache", **answer})
        assert world.site.eval(_STATE)[3], name
    right = {"page": "bitcache", "code": "c", "state": state, "iss": world.shop.origin}
    for role in ROLES[:-1]:
        got = world.people[role].client.get("wp-admin/admin.php", params=right)
        assert got.status_code in {302, 403}
    assert world.site.eval(_STATE)[3]
    # The same administrator in another browser, whom somebody made follow a link.
    other = world.site.logged_in("admin")
    got = other.get("wp-admin/admin.php", params=right)
    assert "another browser" in other.get(got.headers["Location"]).text
    # It was good once.
    got = world.admin.client.get("wp-admin/admin.php", params=right)
    assert "too old" in world.admin.client.get(got.headers["Location"]).text
    other.close()
    assert world.site.option("bitcache_secret") == before


def test_the_way_back_leads_nowhere_else(world: World) -> None:
    for sent in (
        {"code": "https://evil.test/", "state": "//evil.test", "iss": "https://evil.test"},
        {"redirect_to": "https://evil.test/", "code": '"><script>', "state": "'"},
        {"code[]": "x", "page": "https://evil.test"},
    ):
        answer = world.site.http.get("", params={"bitcache_connected": "1", **sent})
        target = answer.text.split('content="0;url=')[1].split('"')[0]
        assert target.startswith(f"{world.site.url}/wp-admin/admin.php?page=bitcache")
        assert "<script" not in answer.text
        assert "Location" not in answer.headers


def test_names_of_files_end_no_header(world: World) -> None:
    code = """
    return array( \\Bitcache\\Files\\Types::disposition( $input['n'], true ),
        \\Bitcache\\Files\\Types::of( $input['n'] ) );
    """
    for name in ("a\r\nX-Evil: 1.pdf", 'a";x="b.pdf', "a\x00.html", "../../a.php", "ä\u2028.jpg"):
        disposition, kind = world.site.eval(code, n=name)
        assert not set("\r\n\x00\u2028") & set(disposition)
        assert disposition.startswith('attachment; filename="')
        assert disposition.split('"')[2][:1] in {"", ";"}
        assert "html" not in kind
        assert "/" not in disposition


#: Each would call `ran` in a browser that took it for markup.
BREAKERS = (
    '"><script>ran()</script>',
    "'><script>ran()</script>",
    '"><img src=x onerror=ran()>',
    '" autofocus onfocus=ran() onmouseover=ran() x="',
    "' autofocus onfocus=ran() x='",
    "</script><script>ran()</script>",
    "--><script>ran()</script>",
    "javascript:ran()",
    "<svg/onload=ran()>",
)
_WRITE = """
$post = array( 'post_title' => $input['title'], 'post_excerpt' => $input['title'],
    'post_status' => 'pending' );
$id   = wp_insert_post( wp_slash( $post ) );
// WordPress would take markup out of what contributors write; the plugin does not rely on it.
$GLOBALS['wpdb']->update( $GLOBALS['wpdb']->posts,
    array( 'post_status' => 'publish', 'post_name' => 'hostile',
        'post_content' => $input['content'] ),
    array( 'ID' => $id ) );
clean_post_cache( $id );
return array( $id, get_permalink( $id ) );
"""
_POISON = """
global $wpdb;
$bad = $input['bad'];
update_user_meta( 1, 'bitcache_price', $bad ); update_user_meta( 1, 'bitcache_currency', $bad );
update_term_meta( $input['things']['category'], 'bitcache_price', $bad );
update_term_meta( $input['things']['category'], 'bitcache_currency', $bad );
update_option( 'blogname', $bad );
foreach ( array( $input['things']['post'], $input['things']['file'] ) as $id ) {
    foreach ( array( '_bitcache_price', '_bitcache_currency' ) as $name ) {
        delete_post_meta( $id, $name );
        add_post_meta( $id, $name, wp_slash( $bad ) );
    }
    $rules = array( 'free_paragraphs' => $bad, 'free_roles' => array( $bad ) );
    update_post_meta( $id, '_bitcache_rules', $rules );
}
// As only somebody could write it who writes to the database.
$look = array( 'theme' => $bad, 'accent' => '#abcdef', 'radius' => $bad );
$all  = array( 'notice' => $bad, 'default_price' => $bad, 'default_currency' => $bad,
    'look' => $look ) + \\Bitcache\\Settings::defaults();
remove_all_filters( 'sanitize_option_bitcache_settings' );
update_option( 'bitcache_settings', $all );
\\Bitcache\\Admin\\Flash::keep( 'error', $bad, array( 'server' => $bad ) );
"""


def breakers_in_blocks(file: int) -> str:
    """Return every block and shortcode with every breaker in every attribute."""
    made = []
    for bad in BREAKERS:
        # WordPress' own spelling of attributes: it reads back what is given here.
        text = json.dumps(bad).replace("<", "\\u003c").replace(">", "\\u003e")
        text = text.replace("--", "\\u002d\\u002d").replace('\\"', "\\u0022")
        quoted = bad.replace('"', "&quot;").replace("[", "").replace("]", "")
        for name in ("part", "price", "currency"):
            own = {"part": '"x"', "price": '"0.05"', "currency": '"USD"', name: text}
            pairs = ",".join(f'"{key}":{value}' for key, value in own.items())
            made.append(
                f"<!-- wp:bitcache/paid {{{pairs}}} -->\n<p>Paid.</p>\n<!-- /wp:bitcache/paid -->"
            )
            made.append(f"[bitcache part='x' {name}='{bad}']Paid.[/bitcache]")
            made.append(f'[bitcache {name}="{quoted}" price="0.05"]Paid.[/bitcache]')
        for name in ("label", "title", "amount", "currency", "className", "anchor"):
            own = {"amount": '"5"', "currency": '"EUR"', name: text}
            pairs = ",".join(f'"{key}":{value}' for key, value in own.items())
            made.append(f"<!-- wp:bitcache/pay-button {{{pairs}}} /-->")
        made.append(f'<!-- wp:bitcache/file {{"id":{file},"className":{text},"align":{text}}} /-->')
        made.append(
            f"[bitcache_file id='{bad}'] [bitcache_file id=\"{file} {quoted}\" title='{bad}']"
        )
    return "\n\n".join(made)


def test_markup_runs_nowhere(world: World, context: BrowserContext) -> None:
    """What a contributor writes and what lies in the database, on all pages that show it."""
    ran: list[str] = []
    context.expose_function("ran", lambda: ran.append(page.url))
    context.add_cookies(
        [
            {"name": cookie.name, "value": str(cookie.value), "url": world.site.origin}
            for cookie in world.admin.client.cookies.jar
        ]
    )
    page = context.new_page()
    things, everything = world.things, "".join(BREAKERS)
    content = breakers_in_blocks(things.file)
    post, url = world.people["contributor"].eval(_WRITE, title=everything, content=content)
    page.goto(world.site.url)
    page.goto(url)
    # It is there, and does nothing.
    assert page.locator(".bitcache-pay-button").count() > len(BREAKERS)
    assert page.locator(".bitcache-wall").count() > 0
    page.goto(f"{world.site.url}/wp-admin/post.php?post={post}&action=edit")
    assert ran == []
    page.set_content("<img src=x onerror=ran()>")
    wait_until(page, lambda: ran == [page.url])
    ran.clear()
    shown = (
        "", "wp-admin/admin.php?page=bitcache", "wp-admin/profile.php", "wp-admin/edit.php",
        f"wp-admin/term.php?taxonomy=category&tag_ID={things.category}",
        f"wp-admin/post.php?post={things.file}&action=edit", url,
        world.site.permalink(things.post),
    )  # fmt: skip
    world.site.eval(_POISON, bad=everything, things=asdict(things))
    for path in shown:
        page.goto(path if path.startswith("http") else f"{world.site.url}/{path}")
        if path.startswith("wp-admin"):
            assert page.locator("#wpbody").count() == 1, path
        assert ran == [], path
