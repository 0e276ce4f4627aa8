"""The reader's path in a real Chromium: teaser, payment, the text in its place."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.popup import open_popup, press_allow, take_gift
from tests.e2e.wall import expect_view, wait_until, wall, watched
from tests.support.wordpress import NEWEST, VERSIONS, WordPressSite
from tests.wordpress.articles import (
    PAID,
    PAYWALL,
    PRICE_SAT,
    TEASER,
    expect_article,
    expect_teaser,
    pay,
    upload,
    write,
)
from tests.wordpress.conftest import Connected
from tests.wordpress.shop import WordPressShop
from tests.wordpress.ways import PRICE, p

World = tuple[WordPressSite, WordPressShop]
#: Half a second of silence, as any player can play it.
SOUND = (
    b"RIFF\xc4\x0f\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00"
    b"\x01\x00\x08\x00data\xa0\x0f\x00\x00" + b"\x80" * 4000
)


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def world(version: str, connected: Connected) -> Iterator[World]:
    with connected(version=version) as made:
        yield made


@pytest.fixture(scope="module")
def newest(connected: Connected) -> Iterator[World]:
    with connected(version=NEWEST) as made:
        yield made


def everything(site: WordPressSite) -> str:
    """Return what a paid part can be made of: a gallery, a player, an embed, a script, details."""
    pictures = [upload(site, f"gallery-{number}.jpg") for number in range(2)]
    sound = upload(site, "bell.wav", SOUND, "audio/wav")
    other = site.permalink(site.create_post(p("The embedded one."), post_title="Embedded"))
    inner = "".join(
        f'<!-- wp:image {{"id":{one},"sizeSlug":"medium"}} -->\n<figure class="wp-block-image '
        f'size-medium"><img src="{site.eval(_MEDIUM, id=one)}" alt="" class="wp-image-{one}"/>'
        "</figure>\n<!-- /wp:image -->"
        for one in pictures
    )
    return (
        '<!-- wp:gallery {"linkTo":"none"} -->\n<figure class="wp-block-gallery has-nested-images '
        f'columns-default is-cropped">{inner}</figure>\n<!-- /wp:gallery -->\n\n'
        f'<!-- wp:shortcode -->\n[playlist ids="{sound}"]\n<!-- /wp:shortcode -->\n\n'
        f'<!-- wp:embed {{"url":"{other}","type":"wp-embed","providerNameSlug":"x"}} -->\n'
        '<figure class="wp-block-embed is-type-wp-embed"><div class="wp-block-embed__wrapper">\n'
        f"{other}\n</div></figure>\n<!-- /wp:embed -->\n\n"
        "<!-- wp:html -->\n<p id='counted'>0</p><script>document.getElementById('counted')"
        ".textContent = String(6 * 7);</script>\n<!-- /wp:html -->"
    )


_MEDIUM = "return wp_get_attachment_image_url( $input['id'], 'medium' );"


def test_from_the_teaser_to_the_text(world: World, page: Page, browser: Browser) -> None:
    site, shop = world
    article = write(site, shop, everything(site))
    page.goto(article.url)
    expect_teaser(page)
    page.evaluate("window.same = true")
    code = pay(page, shop)
    expect_article(page)
    assert page.evaluate("window.same") is True, "the page was loaded again"
    # The theme's own styles, and whatever the blocks bring.
    gallery = page.locator(".bitcache-content .wp-block-gallery")
    expect(gallery.locator("img")).to_have_count(2)
    assert gallery.evaluate("gallery => getComputedStyle(gallery).display") == "flex"
    loaded = (
        "() => [...document.querySelectorAll('.wp-block-gallery img')].every(i => i.naturalWidth)"
    )
    wait_until(page, lambda: bool(page.evaluate(loaded)))
    expect(page.locator(".bitcache-content .wp-playlist .mejs-container")).to_be_visible()
    expect(page.locator(".bitcache-content iframe.wp-embedded-content")).to_be_attached()
    expect(page.locator("#counted")).to_have_text("42")

    page.reload()
    expect_article(page)
    # What scripts keep is thrown away by browsers after a week; the site's cookie stays.
    page.evaluate("localStorage.clear()")
    page.reload()
    expect_article(page)
    assert shop.count_payments() == 1

    other, errors = watched(browser.new_context())
    other.goto(article.url)
    expect_teaser(other)
    wall(other).get_by_role("button", name="Already paid?").click()
    field = wall(other).get_by_label("Receipt code")
    field.fill(code)
    field.press("Enter")
    expect_article(other)
    other.context.close()
    assert errors == []
    assert shop.count_payments() == 1


def test_without_scripts_by_the_checkout_and_back(world: World, browser: Browser) -> None:
    site, shop = world
    article = write(site, shop)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(article.url)
    expect(page.get_by_text(TEASER).first).to_be_visible()
    page.get_by_role("link", name="Read on for").click()
    page.wait_for_url(f"{shop.origin}/pay/**")
    page.get_by_role("button", name="Pay with bitcoin").click()
    page.wait_for_load_state()
    shop.pay_open()
    page.reload()
    page.locator(f'form[action*="bitcache_read={article.id}"] button').click()
    expect(page.get_by_text(PAID).first).to_be_visible()
    assert page.url.startswith(site.url)
    # And again from the teaser, with the cookie alone.
    page.goto(article.url)
    assert PAID not in page.content()
    page.get_by_role("button", name="Already bought?").click()
    expect(page.get_by_text(PAID).first).to_be_visible()
    context.close()


def test_two_parts_with_prices_of_their_own(newest: World, page: Page) -> None:
    site, shop = newest
    own = '{"part":"extra","price":"0.02","currency":"USD"}'
    extra = (
        f"<!-- wp:bitcache/paid {own} -->\n<div class='wp-block-bitcache-paid'>"
        f"{p('The extra words.')}</div>\n<!-- /wp:bitcache/paid -->\n\n"
    )
    content = p(TEASER) + extra + p("Between the two.") + PAYWALL + p(PAID)
    post_id = site.create_post(content, post_title="Two", meta_input=PRICE)
    shop.item_of(site, post_id)
    page.goto(site.permalink(post_id))
    expect_view(page, "offer", 1)
    assert "The extra words." not in page.content()
    wall(page, 0).get_by_role("button", name="Pay with bitcoin").click()
    expect_view(page, "waiting")
    assert shop.pay_open() == 2_000
    expect(page.locator(".bitcache-content").first).to_contain_text("The extra words.")
    assert PAID not in page.content()
    pay_second = wall(page, 1).get_by_role("button", name="Pay with bitcoin")
    pay_second.click()
    expect_view(page, "waiting", 1)
    assert shop.pay_open() == PRICE_SAT
    expect(page.locator(".bitcache-content").nth(1)).to_contain_text(PAID)


def test_with_a_balance_one_click_and_no_reload(newest: World, page: Page) -> None:
    site, shop = newest
    first = write(site, shop)
    second = write(site, shop, post_title="The tower")
    page.goto(first.url)
    expect_teaser(page)
    popup = open_popup(page)
    take_gift(popup)
    press_allow(popup)
    expect_article(page)
    page.goto(second.url)
    expect_teaser(page)
    page.evaluate("window.same = true")
    wall(page).get_by_role("button", name="with one click").click()
    expect_article(page)
    assert page.evaluate("window.same") is True
    assert len(page.context.pages) == 1


@contextmanager
def listener() -> Iterator[tuple[str, list[int]]]:
    """Listen as a server that is ill does: it takes every call and answers none."""
    calls: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            held: list[socket.socket] = []
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    break
                calls.append(1)
            for one in held:
                one.close()

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_pages_render_without_a_call_to_the_server(
    version: str, connected: Connected, browser: Browser
) -> None:
    with connected(version=version) as (site, shop), listener() as (dead, calls):
        article = write(site, shop)
        grant = shop.buy(article.item)
        site.eval(
            "\\Bitcache\\Server\\Connection::save_facts( array( 'server' => $input['s'],"
            " 'api_url' => $input['s'] . '/v1', 'widget_url' => $input['s'] . '/w.js' ) );",
            s=dead,
        )
        unsold = site.create_post(p(TEASER) + PAYWALL + p(PAID), meta_input=PRICE)
        site.eval("delete_post_meta( $input['id'], '_bitcache_items' );", id=unsold)
        calls.clear()
        for url in (article.url, site.permalink(unsold), site.url + "/", f"{site.url}/?feed=rss2"):
            seen = site.http.get(url, follow_redirects=True)
            assert seen.status_code == 200
            # Not every theme's front page lists what posts say.
            assert TEASER in seen.text or url == site.url + "/"
            assert PAID not in seen.text
        assert "cannot be bought at the moment" in site.http.get(site.permalink(unsold)).text
        # Who has bought it reads on: the site needs nobody for that.
        with site.client() as reader:
            path = f"?rest_route=/bitcache/v1/content&post={article.id}&part=post"
            assert PAID in reader.post(path, json={"grant": grant}).json()["html"]
            assert PAID in reader.post(f"?bitcache_read={article.id}").text
        assert calls == []
        context = browser.new_context()
        page, errors = watched(context)
        page.goto(article.url, wait_until="commit")
        expect(page.get_by_text(TEASER).first).to_be_visible()
        expect(page.get_by_role("link", name="Read on for")).to_be_visible()
        context.close()
        assert errors == []
