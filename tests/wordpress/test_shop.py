"""The pay button, WooCommerce's checkout block (a stand-in), and a balance, in a real Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.checking import come_into_view, press_and_close
from tests.e2e.popup import open_popup, press_allow, take_gift
from tests.e2e.wall import wall, watched
from tests.support.wordpress import NEWEST, WordPressSite
from tests.wordpress.articles import PRICE_SAT, expect_article, expect_teaser, write
from tests.wordpress.conftest import Connected
from tests.wordpress.shop import WordPressShop
from tests.wordpress.ways import p

World = tuple[WordPressSite, WordPressShop]
#: The scripts that the checkout block's own needs, in order, as WordPress prints them.
_SCRIPTS = """
$scripts = wp_scripts();
$scripts->all_deps( array( 'wp-element', 'wp-html-entities' ) );
return array_map( function ( $handle ) use ( $scripts ) {
    $source = $scripts->registered[ $handle ]->src;
    return 0 === strpos( $source, '/' ) ? site_url( $source ) : $source;
}, array_values( array_filter( $scripts->to_do, function ( $handle ) use ( $scripts ) {
    return (bool) $scripts->registered[ $handle ]->src;
} ) ) );
"""
#: The pauses are over.
_LATER = """
delete_option( 'bitcache_health' );
$wpdb = $GLOBALS['wpdb'];
$due  = array( 'meta_key' => '_bitcache_sync' );
$wpdb->update( $wpdb->postmeta, array( 'meta_value' => 1 ), $due );
do_action( 'bitcache_sync' );
"""
BUTTON = '<!-- wp:bitcache/pay-button {"amount":"0.05","currency":"USD","title":"A coffee"} /-->'


@pytest.fixture(scope="module", params=["6.1", NEWEST])
def world(request: pytest.FixtureRequest, connected: Connected) -> Iterator[World]:
    with connected(version=request.param) as made:
        yield made


STAND_IN = Path(__file__).with_name("units") / "stand-in-woocommerce.php"
_ORDER = """
class Stand_In { public static $options = array( 'woocommerce_currency' => 'USD' ); }
require $input['stand_in'];
$item  = new WC_Order_Item( 'Tea', 2, '0.04', '0.01' );
$order = new WC_Order( 7, '0.05', array( $item ) );
$order->currency = 'USD';
$order->meta     = $input['meta'];
$gateway = new \\Bitcache\\Shop\\Gateway();
$orders  = new \\Bitcache\\Shop\\Orders( new \\Bitcache\\Server\\Client() );
"""
_PAY = """
$made = array( $gateway->process_payment( 7 ), $gateway->process_payment( 7 ) );
return array( $made[0], $made[1], $order->meta, wp_next_scheduled( 'bitcache_orders' ) );
"""
_SETTLE = """
$orders->refresh( $order );
$orders->refresh( $order );
$refused = $gateway->process_refund( 7, '0.01' )->get_error_message();
$done    = $gateway->process_refund( 7, '0.05' );
return array( $order->status, $order->completed, $order->meta, $refused, $done );
"""
_SETTLE_REFUND = """
$order->status  = 'processing';
$order->payment = $order->meta['_bitcache_order'];
$orders->refresh( $order );
return array( $order->status, $order->refunded );
"""
#: What WooCommerce's checkout block does with a way to pay: it hands each part its own things.
REGISTRY = """
window.wc = {
  wcSettings: { getSetting: ( name, other ) => name === 'bitcache_data'
    ? { title: 'Bitcoin &amp; more', description: 'By phone.', supports: [ 'products' ] } : other },
  wcBlocksRegistry: { registerPaymentMethod: ( method ) => { window.registered = method } },
};
"""
CHECKOUT = """
() => {
  const { createElement, cloneElement, render } = wp.element;
  const PaymentMethodLabel = ( { text } ) => createElement( 'b', null, text );
  const given = { components: { PaymentMethodLabel }, onSubmit: () => {}, billing: {} };
  const { label, content, edit, canMakePayment, ariaLabel, supports, name } = window.registered;
  const place = document.body.appendChild( document.createElement( 'section' ) );
  place.id = 'checkout';
  const parts = [ label, content, edit ].map( ( one, key ) =>
    cloneElement( one, { ...given, key } ) );
  render( createElement( 'div', null, parts ), place );
  return [ name, ariaLabel, canMakePayment( {} ), supports.features ];
}
"""


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_the_pay_button_takes_money_and_says_thank_you(
    world: World, browser: Browser, scripts: bool
) -> None:
    site, shop = world
    post = site.create_post(p("Come in.") + BUTTON, post_title=f"The bar {scripts}")
    context = browser.new_context(java_script_enabled=scripts)
    page, errors = watched(context)
    page.goto(site.permalink(post))
    assert page.get_by_role("status").count() == 0
    page.get_by_role("button", name="Pay 0.05 USD with bitcoin").click()
    # Nothing is ordered yet: a page that is only looked at costs nobody anything.
    page.wait_for_url(f"{shop.origin}/order?**")
    page.get_by_role("button", name="Go on to pay").click()
    page.get_by_role("button", name="Pay with bitcoin").click()
    page.wait_for_url("**/pay/invoices/**")
    assert shop.pay_open() == PRICE_SAT
    page.reload()
    page.get_by_role("link", name="Back to Ada").click()
    expect(page.get_by_role("status")).to_have_text("Paid. Thank you!")
    assert page.url.startswith(site.permalink(post))
    context.close()
    assert errors == []


def test_the_checkout_block_shows_what_a_stand_in_of_woocommerce_is_given(
    world: World, page: Page
) -> None:
    site, _ = world
    scripts = site.eval(_SCRIPTS)
    page.goto(site.url + "/wp-login.php")
    for source in scripts:
        page.add_script_tag(url=source)
    page.evaluate(REGISTRY)
    page.add_script_tag(url=site.url + "/wp-content/plugins/bitcache/assets/checkout.js")
    said = page.evaluate(CHECKOUT)
    assert said == ["bitcache", "Bitcoin & more", True, ["products"]]
    inside = page.locator("#checkout > div")
    expect(inside).to_have_text("Bitcoin & moreBy phone.By phone.")
    # Nothing of what was handed in became an attribute.
    html = "<b>Bitcoin &amp; more</b><p>By phone.</p><p>By phone.</p>"
    assert inside.inner_html() == html


FORGET = """
async () => {
  localStorage.clear();
  sessionStorage.clear();
  for ( const { name } of await indexedDB.databases() ) indexedDB.deleteDatabase( name );
  for ( const name of await caches.keys() ) await caches.delete( name );
}
"""


@pytest.mark.parametrize("world", [NEWEST], indirect=True)
def test_an_order_of_a_stand_in_shop_is_paid_and_given_back_at_the_real_server(
    world: World, page: Page
) -> None:
    site, shop = world
    given = {"stand_in": str(STAND_IN)}
    first, second, meta, planned = site.eval(_ORDER + _PAY, **given, meta={})
    assert first == second
    assert first["result"] == "success"
    assert planned
    page.goto(first["redirect"])
    page.get_by_role("button", name="Pay with bitcoin").click()
    page.wait_for_url("**/pay/invoices/**")
    assert shop.pay_open() == PRICE_SAT
    status, completed, meta, refused, done = site.eval(_ORDER + _SETTLE, **given, meta=meta)
    assert (status, completed) == ("processing", [meta["_bitcache_order"]])
    assert "as a whole" in refused
    assert done is True
    after, refunded = site.eval(_ORDER + _SETTLE_REFUND, **given, meta=meta)
    assert (after, refunded) == ("refunded", 0.05)


@pytest.mark.parametrize("world", [NEWEST], indirect=True)
def test_a_balance_outlives_script_storage_and_comes_to_another_device(
    world: World, browser: Browser
) -> None:
    site, shop = world
    article, payments = write(site, shop), shop.count_payments()
    phone = browser.new_context()
    page, errors = watched(phone)
    page.goto(article.url)
    expect_teaser(page)
    popup = open_popup(page)
    take_gift(popup)
    press_allow(popup)
    expect_article(page)
    left = shop.wallets()
    # What scripts keep is thrown away by browsers after a week; the site's cookie stays.
    page.evaluate(FORGET)
    page.reload()
    expect_article(page)
    assert page.evaluate("localStorage.length") == 0
    assert shop.wallets() == left

    page.goto(f"{shop.origin}/wallet/security")
    page.get_by_role("button", name="Make a recovery code").click()
    code = page.locator(".secret code").inner_text()
    laptop = browser.new_context()
    other, more_errors = watched(laptop)
    other.goto(f"{shop.origin}/wallet/security")
    other.get_by_label("Recovery code").fill(code)
    other.get_by_role("button", name="Sign in with the code").click()
    expect(other.get_by_role("heading", name="Security")).to_be_visible()
    other.goto(article.url)
    expect_teaser(other)
    with other.expect_popup() as waiting:
        wall(other).get_by_role("button", name="with one click").click()
    popup = waiting.value
    come_into_view(popup)
    expect(popup.get_by_text("It opens again and costs nothing.")).to_be_visible()
    press_and_close(popup, popup.get_by_role("button", name="Continue", exact=True))
    expect_article(other)
    assert shop.wallets() == left
    assert shop.count_payments() == payments
    for context in (phone, laptop):
        context.close()
    assert errors == more_errors == []


@pytest.mark.parametrize("world", [NEWEST], indirect=True)
def test_what_is_deleted_while_the_server_is_silent_goes_off_sale_later(world: World) -> None:
    site, shop = world
    articles = [write(site, shop, post_title=f"Deleted {number}") for number in range(3)]
    facts = site.eval("return get_option( 'bitcache_connection' );")
    dead = {**facts, "api_url": "http://127.0.0.1:9/v1"}
    site.option("bitcache_connection", dead)
    for article in articles:
        site.eval("wp_delete_post( $input['id'], true );", id=article.id)
    assert [shop.is_sold(article.item) for article in articles] == [True] * 3
    site.option("bitcache_connection", facts)
    site.eval(_LATER)
    assert [shop.is_sold(article.item) for article in articles] == [False] * 3
    # Nothing is left of them.
    for article in articles:
        assert site.eval("return get_post_meta( $input['id'] );", id=article.id) == []
