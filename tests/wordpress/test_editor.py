"""Pricing in wp-admin, in a real Chromium: blocks, panel, list, quick and bulk edit, defaults."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.wordpress import VERSIONS, WordPressSite
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


@pytest.fixture
def desk(world: World, browser: Browser) -> Iterator[Page]:
    """Return a page whose reader is the administrator."""
    site, _ = world
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(error.stack or str(error)))
    # Not to the dashboard, which looks for updates that cannot be had here.
    desk_url = f"{site.url}/wp-admin/profile.php"
    page.goto(f"{site.url}/wp-login.php?redirect_to={quote(desk_url, safe='')}")
    page.fill("#user_login", "admin")
    page.fill("#user_pass", "admin-pass")
    page.click("#wp-submit")
    page.wait_for_url(desk_url)
    yield page
    context.close()
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


def test_a_copy_of_a_part_is_sold_by_itself(world: World, desk: Page) -> None:
    site, _ = world
    new_post(site, desk)
    desk.evaluate(INSERT)
    desk.evaluate(DUPLICATE)
    desk.wait_for_function(f"new Set(({PARTS})()).size === 2")
    assert all(desk.evaluate(PARTS))


def test_what_is_no_price_is_said_and_not_saved(world: World, desk: Page) -> None:
    site, _ = world
    new_post(site, desk)
    desk.evaluate(INSERT)
    beside = panel(desk)
    beside.get_by_label("Price", exact=True).fill("five")
    expect(beside).to_contain_text("An amount such as 0.05.")
    desk.evaluate(SAVE)
    expect(desk.locator(".components-notice.is-error").first).to_be_attached()
    newest = site.eval(
        "return get_posts( array( 'post_status' => 'any', 'numberposts' => 1 ) )[0]->ID;"
    )
    assert (
        site.eval("return get_post_meta( $input['id'], '_bitcache_price', true );", id=newest) == ""
    )


def test_the_list_shows_prices_and_changes_them(world: World, desk: Page) -> None:
    site, _ = world
    first = site.create_post(p("One.") + p("Two."), post_title="Quick")
    second = site.create_post(p("One.") + p("Two."), post_title="Bulk")
    desk.goto(f"{site.url}/wp-admin/edit.php")
    row = desk.locator(f"#post-{first}")
    row.hover()
    row.locator(".editinline").click()
    amount = desk.locator(f'#edit-{first} [name="bitcache_quick[amount]"]')
    amount.fill("0,30")
    desk.click(f"#edit-{first} .save")
    expect(row.locator(".column-bitcache")).to_contain_text("0.30 USD")
    row.hover()
    row.locator(".editinline").click()
    expect(amount).to_have_value("0.30")

    desk.goto(f"{site.url}/wp-admin/edit.php")
    for post_id in (first, second):
        desk.check(f"#cb-select-{post_id}")
    desk.select_option("#bulk-action-selector-top", "edit")
    desk.click("#doaction")
    desk.select_option('[name="bitcache_bulk[what]"]', "price")
    desk.fill('[name="bitcache_bulk[amount]"]', "0.40")
    desk.click("#bulk_edit")
    for post_id in (first, second):
        cell = desk.locator(f"#post-{post_id} .column-bitcache")
        expect(cell).to_contain_text("0.40 USD")


def test_categories_and_authors_have_a_price(world: World, desk: Page) -> None:
    site, _ = world
    post_id = site.create_post(p("One.") + p("Two."), post_title="By default")
    desk.goto(f"{site.url}/wp-admin/term.php?taxonomy=category&tag_ID=1")
    desk.fill('[name="bitcache_term[amount]"]', "0.07")
    desk.select_option('[name="bitcache_term[currency]"]', "EUR")
    desk.click('input[type="submit"]')
    cell = desk.locator(f"#post-{post_id} .column-bitcache")
    desk.goto(f"{site.url}/wp-admin/edit.php")
    expect(cell).to_contain_text("0.07 EUR")
    # The author's price stands before the category's.
    desk.goto(f"{site.url}/wp-admin/profile.php")
    desk.fill('[name="bitcache_author[amount]"]', "0.09")
    desk.click("#submit")
    desk.goto(f"{site.url}/wp-admin/edit.php")
    expect(cell).to_contain_text("0.09 USD")
    desk.goto(f"{site.url}/wp-admin/profile.php")
    desk.fill('[name="bitcache_author[amount]"]', "")
    desk.click("#submit")
    desk.goto(f"{site.url}/wp-admin/term.php?taxonomy=category&tag_ID=1")
    desk.fill('[name="bitcache_term[amount]"]', "")
    desk.click('input[type="submit"]')
    desk.goto(f"{site.url}/wp-admin/edit.php")
    expect(cell).to_contain_text("—")


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
