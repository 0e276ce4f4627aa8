"""Pricing in wp-admin, in a real Chromium: blocks, panel, list, quick and bulk edit, defaults."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.wordpress import VERSIONS, WordPressSite
from tests.wordpress.articles import PAYWALL
from tests.wordpress.conftest import Connected
from tests.wordpress.shop import WordPressShop
from tests.wordpress.ways import p

World = tuple[WordPressSite, WordPressShop]
SAVE = """async () => {
    await wp.data.dispatch('core/editor').editPost({ status: 'publish' });
    await wp.data.dispatch('core/editor').savePost();
    const editor = wp.data.select('core/editor');
    return {
        id: editor.getCurrentPostId(),
        content: editor.getEditedPostContent(),
        standing: editor.getCurrentPostAttribute('bitcache'),
    };
}"""
INSERT = """() => {
    const block = wp.blocks.createBlock;
    wp.data.dispatch('core/editor').editPost({ title: 'Priced' });
    wp.data.dispatch('core/block-editor').insertBlocks([
        block('core/paragraph', { content: 'Teaser.' }),
        block('bitcache/paid', { price: '0.10', currency: 'EUR' }, [
            block('core/paragraph', { content: 'A part.' }),
        ]),
        block('bitcache/paywall'),
        block('core/paragraph', { content: 'The rest.' }),
        block('bitcache/pay-button', { amount: '5' }),
    ]);
}"""
FORGET = """
update_user_meta( 1, 'bitcache_price', $input['price'] );
update_term_meta( 1, 'bitcache_price', $input['price'] );
"""
CONTENT = "() => wp.data.select('core/editor').getEditedPostContent()"
#: A copy of a block that has a price of its own.
DUPLICATE = """() => {
    const { getBlocks } = wp.data.select('core/block-editor');
    const part = getBlocks().find(({ name }) => name === 'bitcache/paid');
    wp.data.dispatch('core/block-editor').duplicateBlocks([part.clientId]);
}"""
PARTS = """() => wp.data.select('core/block-editor').getBlocks()
    .filter(({ name }) => name === 'bitcache/paid').map(({ attributes }) => attributes.part)"""


@pytest.fixture(scope="module", params=VERSIONS)
def world(request: pytest.FixtureRequest, connected: Connected) -> Iterator[World]:
    with connected(version=str(request.param)) as made:
        yield made


@pytest.fixture(scope="module")
def signed_in(world: World, browser: Browser) -> Iterator[BrowserContext]:
    """Return a browser of the administrator, which keeps the editor's many scripts."""
    site, _ = world
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    client = site.logged_in("admin")
    cookies = [
        {"name": cookie.name, "value": cookie.value or "", "url": site.url + cookie.path}
        for cookie in client.cookies.jar
    ]
    client.close()
    context.add_cookies(cookies)  # type: ignore[arg-type]  # as Playwright takes them
    yield context
    context.close()


@pytest.fixture
def desk(signed_in: BrowserContext) -> Iterator[Page]:
    """Return a page whose reader is the administrator."""
    page = signed_in.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(error.stack or str(error)))
    yield page
    page.close()
    # WordPress has errors of its own when a page is left while it loads.
    assert [stack for stack in broken if "/plugins/bitcache/" in stack] == []


def new_post(site: WordPressSite, page: Page) -> None:
    page.goto(f"{site.url}/wp-admin/post-new.php")
    page.wait_for_selector('.editor-styles-wrapper, iframe[name="editor-canvas"]')
    page.wait_for_function("wp.data.select('core/editor').getCurrentPostType() === 'post'")
    page.evaluate(
        "wp.data.dispatch('core/preferences').set('core/edit-post', 'welcomeGuide', false)"
    )


def panel(page: Page) -> Any:
    page.evaluate("wp.data.dispatch('core/edit-post').openGeneralSidebar('edit-post/document')")
    found = page.locator(".bitcache-panel")
    head = found.get_by_role("button", name="Bitcache")
    if head.get_attribute("aria-expanded") == "false":
        head.click()
    return found


def test_a_post_is_priced_in_the_block_editor(world: World, desk: Page) -> None:
    site, shop = world
    new_post(site, desk)
    desk.evaluate(INSERT)
    beside = panel(desk)
    expect(beside).to_contain_text("The paid part has no price yet")
    # What is no price is said, and not saved.
    beside.get_by_label("Price", exact=True).fill("five")
    expect(beside).to_contain_text("An amount such as 0.05.")
    refused = desk.evaluate(SAVE)["id"]
    expect(desk.locator(".components-notice.is-error").first).to_be_attached()
    stored = "return get_post_meta( $input['id'], '_bitcache_price', true );"
    assert site.eval(stored, id=refused) == ""
    beside.get_by_label("Price", exact=True).fill("0,25")
    expect(beside).to_contain_text("Sold for 0.25 USD.")
    beside.get_by_label("First readers").fill("3")
    saved = desk.evaluate(SAVE)
    assert saved["standing"]["price"] == "0.10 EUR, 0.25 USD"
    post_id = saved["id"]
    assert site.eval(
        "return get_post_meta( $input['id'], '_bitcache_rules', true );", id=post_id
    ) == {"free_readers": 3}
    shop.item_of(site, post_id)
    sold = {
        name.rpartition(":")[2]: item
        for name, item in shop.items().items()
        if f":{post_id}:" in name
    }
    assert {"post"} < set(sold)
    assert len(sold) == 2


def test_every_step_can_be_undone_and_done_again(world: World, desk: Page) -> None:
    site, _ = world
    new_post(site, desk)
    frame = desk.locator('iframe[name="editor-canvas"]')
    canvas = frame.content_frame if frame.count() else desk
    canvas.locator(".editor-post-title__input").click()
    for line in ("Undone", "Teaser."):
        desk.keyboard.type(line)
        desk.keyboard.press("Enter")
    desk.keyboard.type("/paywall")
    expect(desk.get_by_role("option", name="Paywall", selected=True)).to_be_visible()
    desk.keyboard.press("Enter")
    expect(canvas.get_by_text("Paid from here")).to_be_visible()
    desk.keyboard.press("Enter")
    desk.keyboard.type("The rest.")
    _undo_and_redo(desk, "Control+z", "Control+Shift+z")
    # A copy of a part is sold by itself; giving it a name is no step of its own.
    desk.evaluate(INSERT)
    _undo_and_redo(desk)
    desk.evaluate(DUPLICATE)
    desk.wait_for_function(f"new Set(({PARTS})()).size === 2")
    assert all(desk.evaluate(PARTS))
    _undo_and_redo(desk)
    assert len(set(desk.evaluate(PARTS))) == 2


def _undo_and_redo(page: Page, undo: str = "", redo: str = "") -> None:
    """Take everything back that was done, and do it again, by keys or by the editor's buttons."""
    before = page.evaluate(CONTENT)
    for key, verb, wanted in ((undo, "undo", ""), (redo, "redo", before)):
        # More steps than lines: where the machine is slow, a pause in a line begins another one.
        for _ in range(60):
            if page.evaluate(CONTENT) == wanted:
                break
            if key:
                page.keyboard.press(key)
            else:
                page.evaluate(f"wp.data.dispatch('core/editor').{verb}()")
        assert page.evaluate(CONTENT) == wanted


def test_the_list_shows_prices_and_changes_them(world: World, desk: Page) -> None:
    site, _ = world
    first = site.create_post(p("One.") + p("Two."), post_title="Quick")
    second = site.create_post(p("One.") + p("Two."), post_title="Bulk")
    third = site.create_post(p("One.") + PAYWALL + p("Two."), post_title="Forgotten")
    desk.goto(f"{site.url}/wp-admin/edit.php")
    expect(desk.locator(f"#post-{third} .column-bitcache")).to_contain_text("no price yet")
    row = desk.locator(f"#post-{first}")
    row.hover()
    row.locator(".editinline").click()
    amount = desk.locator(f'#edit-{first} [name="bitcache_quick[amount]"]')
    amount.fill("0,30")
    desk.click(f"#edit-{first} .save")
    expect(row.locator(".column-bitcache")).to_contain_text("0.30 USD")
    row.hover()
    row.locator(".editinline").click()
    # What is no price is not swallowed.
    amount.fill("five")
    desk.click(f"#edit-{first} .save")
    expect(amount).to_be_focused()
    desk.click(f"#edit-{first} .cancel")
    row.hover()
    row.locator(".editinline").click()
    expect(amount).to_have_value("0.30")

    desk.goto(f"{site.url}/wp-admin/edit.php")
    for post_id in (first, second):
        desk.check(f"#cb-select-{post_id}")
    desk.select_option("#bulk-action-selector-top", "edit")
    desk.click("#doaction")
    expect(desk.locator('[name="bitcache_bulk[amount]"]')).to_be_hidden()
    desk.select_option('[name="bitcache_bulk[what]"]', "price")
    desk.fill('[name="bitcache_bulk[amount]"]', "0.40")
    desk.click("#bulk_edit")
    for post_id in (first, second):
        cell = desk.locator(f"#post-{post_id} .column-bitcache")
        expect(cell).to_contain_text("0.40 USD")


def test_categories_and_authors_have_a_price(world: World, desk: Page) -> None:
    site, _ = world
    words = p("One.") + p("An onion tower stands here.")
    post_id = site.create_post(words, post_title="By default")
    assert _is_found(site, post_id)
    desk.goto(f"{site.url}/wp-admin/term.php?taxonomy=category&tag_ID=1")
    desk.fill('[name="bitcache_term[amount]"]', "0.07")
    desk.select_option('[name="bitcache_term[currency]"]', "EUR")
    desk.click('input[type="submit"]')
    cell = desk.locator(f"#post-{post_id} .column-bitcache")
    desk.goto(f"{site.url}/wp-admin/edit.php")
    expect(cell).to_contain_text("0.07 EUR")
    _expect_withheld(site, post_id)
    # The author's price stands before the category's.
    desk.goto(f"{site.url}/wp-admin/profile.php")
    desk.fill('[name="bitcache_author[amount]"]', "0.09")
    desk.click("#submit")
    desk.goto(f"{site.url}/wp-admin/edit.php")
    expect(cell).to_contain_text("0.09 USD")
    _expect_withheld(site, post_id)
    # One default after the other goes; the site's is the last, and the post's own stands above all.
    price = "update_option( 'bitcache_settings', array( 'default_price' => $input['p'] ) );"
    site.eval(price + FORGET, p="0.03", price="")
    _expect_withheld(site, post_id)
    assert _price(site, post_id) == "0.03 USD"
    site.set_meta(post_id, _bitcache_price="0.11", _bitcache_currency="CHF")
    assert _price(site, post_id) == "0.11 CHF"
    site.set_meta(post_id, _bitcache_price="", _bitcache_currency="")
    site.eval(price, p="")
    assert _price(site, post_id) == ""
    site.eval("do_action( 'bitcache_index', 0 );")
    assert _is_found(site, post_id)


def _price(site: WordPressSite, post_id: int) -> str:
    code = "return \\Bitcache\\Editor\\Standing::of( $input['id'] )['price'];"
    return str(site.eval(code, id=post_id))


def _is_found(site: WordPressSite, post_id: int) -> bool:
    """Say whether a stranger gets the end of a post: by its number, in lists, by searching."""
    rest = "?rest_route=/wp/v2/posts"
    searches = (f"{rest}&search=onion", "?feed=rss2&s=onion")
    listed = [site.http.get(path).text for path in searches]
    texts = [site.http.get(f"{rest}/{post_id}").text, *listed]
    return any("tower stands" in text for text in texts) or any("By default" in t for t in listed)


def _expect_withheld(site: WordPressSite, post_id: int) -> None:
    """Nobody finds it, before the cron has gone through the posts and after."""
    assert not _is_found(site, post_id)
    site.eval("do_action( 'bitcache_index', 0 );")
    assert not _is_found(site, post_id)


def test_the_button_leads_to_an_order_of_its_own(world: World, browser: Browser) -> None:
    site, _ = world
    block = '<!-- wp:bitcache/pay-button {"amount":"5","currency":"EUR","title":"A coffee"} /-->'
    post_id = site.create_post(p("Thanks!") + block, post_title="Coffee")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.permalink(post_id))
    page.get_by_role("button", name="Pay 5 EUR with bitcoin").click()
    expect(page.locator("main")).to_contain_text("A coffee")
    expect(page.locator("main")).to_contain_text("5.00 EUR")
    context.close()


def test_a_button_whose_price_was_changed_on_the_way_sells_nothing(world: World) -> None:
    site, _ = world
    form = {
        "bitcache_pay": '{"amount":"0.01","currency":"EUR","title":"x"}',
        "bitcache_seal": "0" * 64,
    }
    answer = site.http.post("", data=form)
    assert answer.status_code == 400
