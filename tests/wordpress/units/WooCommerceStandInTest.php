<?php

use Automattic\WooCommerce\Utilities\FeaturesUtil;
use Bitcache\Shop\Gateway;
use Bitcache\Shop\Lines;
use Bitcache\Shop\Orders;
use Bitcache\Shop\WooCommerce;
use Bitcache\Server\Client;
use PHPUnit\Framework\TestCase;

/** The gateway against thin stand-ins of WooCommerce's classes: see stand-in-woocommerce.php. */
final class WooCommerceStandInTest extends TestCase {

	/** @var array<string, array<string, mixed>> the server's orders, by reference. */
	private $made = array();

	/** @var bool whether the server takes endpoints. */
	private $is_told = true;

	protected function setUp(): void {
		Stand_In::reset();
		Stand_In::connect();
		Stand_In_Notices::$all      = array();
		WC_Payment_Gateway::$stored = array( 'enabled' => 'yes' );
		// The first order would ask the server to tell of orders: its own test is below.
		Stand_In::$jobs['bitcache_orders'] = 1;
		$this->made                        = array();
		Stand_In::$server      = function ( string $method, string $path, $body ): array {
			return $this->answer( $method, $path, $body );
		};
	}

	/** A server that keeps orders, as docs/orders.md says. */
	private function answer( string $method, string $path, $body ): array {
		if ( '/orders' === $path ) {
			$reference = $body['reference'];
			if ( ! isset( $this->made[ $reference ] ) ) {
				$id                       = 'or_' . count( $this->made );
				$this->made[ $reference ] = array(
					'id'           => $id,
					'reference'    => $reference,
					'state'        => 'open',
					'item'         => 'it_' . $id,
					'currency'     => $body['currency'],
					'total_minor'  => $body['total_minor'],
					'amount_msat'  => null,
					'holder'       => null,
					'checkout_url' => 'https://pay.example/order/' . $id,
				);
			}
			return array( 201, $this->made[ $reference ] );
		}
		if ( '/webhook-endpoints' === $path ) {
			return $this->is_told ? array( 201, array( 'id' => 'we_1', 'secret' => 'whsec_x' ) ) : array( 422, array() );
		}
		foreach ( $this->made as $reference => $order ) {
			if ( '/orders/' . $order['id'] === $path ) {
				return array( 200, $order );
			}
			if ( '/orders/' . $order['id'] . '/cancel' === $path ) {
				$this->made[ $reference ]['state'] = 'cancelled';
				return array( 200, $this->made[ $reference ] );
			}
		}
		return array( 200, array() );
	}

	private function order(): WC_Order {
		return new WC_Order( 7, '11.90', array( new WC_Order_Item( '<b>Tea</b>', 2, '10.00', '1.90' ) ) );
	}

	private function pay( WC_Order $order ): array {
		return ( new Gateway() )->process_payment( $order->get_id() );
	}

	private function orders(): Orders {
		return new Orders( new Client() );
	}

	/** The only order that the server has, in another state. */
	private function become( string $state ): array {
		$reference                = array_keys( $this->made )[0];
		$this->made[ $reference ] = array(
			'state'       => $state,
			'amount_msat' => 12000000,
			'holder'      => 'in_x',
		) + $this->made[ $reference ];
		return $this->made[ $reference ];
	}

	public function test_the_customer_is_led_to_the_checkout(): void {
		$answer = $this->pay( $this->order() );
		$this->assertSame( 'success', $answer['result'] );
		$this->assertSame( 'https://pay.example/order/or_0', $answer['redirect'] );
		$body = Stand_In::$calls[0]['body'];
		$this->assertSame( 1190, $body['total_minor'] );
		$this->assertSame( array( array( 'title' => '2 × Tea', 'unit_minor' => 1190, 'tax_ppm' => 190000 ) ), $body['lines'] );
	}

	public function test_a_second_press_leads_to_the_same_order(): void {
		$order = $this->order();
		$this->assertSame( $this->pay( $order ), $this->pay( $order ) );
		$this->assertCount( 1, $this->made );
	}

	public function test_an_order_that_was_changed_is_another_one_and_the_first_is_given_up(): void {
		$order        = $this->order();
		$first        = $this->pay( $order );
		$order->total = '20.00';
		$order->items = array( new WC_Order_Item( 'Tea', 4, '20.00' ) );
		$this->assertNotSame( $first, $this->pay( $order ) );
		$this->assertSame( array( 'cancelled', 'open' ), array_column( $this->made, 'state' ) );
	}

	public function test_an_order_whose_time_is_over_can_be_ordered_anew(): void {
		$order = $this->order();
		$this->pay( $order );
		$this->become( 'expired' );
		$this->assertSame( 'https://pay.example/order/or_1', $this->pay( $order )['redirect'] );
	}

	public function test_a_server_that_is_away_is_told_calmly(): void {
		Stand_In::$server = null;
		$failure = array(
			'result'   => 'failure',
			'redirect' => '',
		);
		$this->assertSame( $failure, $this->pay( $this->order() ) );
		$this->assertCount( 1, Stand_In_Notices::$all );
	}

	public function test_a_paid_order_is_completed_once(): void {
		$order = $this->order();
		$this->pay( $order );
		$view = $this->become( 'paid' );
		$this->orders()->settle( $order, $view );
		$this->orders()->settle( $order, $view );
		$this->assertSame( array( 'or_0' ), $order->completed );
		$this->assertSame( 'in_x', $order->get_meta( '_bitcache_holder' ) );
	}

	public function test_money_for_an_earlier_content_completes_nothing(): void {
		$order = $this->order();
		$this->pay( $order );
		$order->total = '99.00';
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$this->assertSame( 'on-hold', $order->get_status() );
		$this->assertSame( array(), $order->completed );
	}

	public function test_an_expired_order_is_cancelled_and_late_news_of_payment_still_completes_it(): void {
		$order = $this->order();
		$this->pay( $order );
		$this->orders()->settle( $order, $this->become( 'expired' ) );
		$this->assertSame( 'cancelled', $order->get_status() );
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$this->assertSame( 'processing', $order->get_status() );
	}

	public function test_the_end_of_an_earlier_order_does_not_cancel_the_new_one(): void {
		$order = $this->order();
		$this->pay( $order );
		$order->items = array( new WC_Order_Item( 'Tea', 4, '11.90' ) );
		$this->pay( $order );
		$this->orders()->settle( $order, array_values( $this->made )[0] );
		$this->assertSame( 'pending', $order->get_status() );
	}

	public function test_a_payment_that_vanished_puts_the_order_on_hold(): void {
		$order = $this->order();
		$this->pay( $order );
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$this->orders()->settle( $order, $this->become( 'open' ) );
		$this->assertSame( 'on-hold', $order->get_status() );
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$this->assertSame( array( 'or_0', 'or_0' ), $order->completed );
	}

	public function test_what_the_shop_does_with_a_paid_order_stays(): void {
		$order = $this->order();
		$this->pay( $order );
		$view = $this->become( 'paid' );
		$this->orders()->settle( $order, $view );
		foreach ( array( 'on-hold', 'cancelled', 'shipped' ) as $status ) {
			$order->status = $status;
			$this->orders()->settle( $order, $view );
			$this->assertSame( $status, $order->get_status() );
		}
	}

	public function test_of_two_that_come_at_once_one_completes_the_order(): void {
		$order = $this->order();
		$this->pay( $order );
		// The other request has read the order before this one was done with it.
		$other = clone $order;
		$view  = $this->become( 'paid' );
		$this->orders()->settle( $order, $view );
		$this->orders()->settle( $other, $view );
		$this->assertSame( array( 'or_0' ), $order->completed );
		$this->assertSame( array(), $other->completed );
	}

	public function test_bitcoin_on_top_of_another_payment_is_noted_and_changes_nothing(): void {
		$order = $this->order();
		$this->pay( $order );
		$order->method  = 'card';
		$order->payment = 'ch_1';
		$order->status  = 'processing';
		foreach ( array( 'open', 'paid', 'paid', 'refunded' ) as $state ) {
			$this->orders()->settle( $order, $this->become( $state ) );
		}
		$this->assertSame( array( 'processing', 'ch_1', 'card', 0.0 ), array( $order->status, $order->payment, $order->method, $order->refunded ) );
		$this->assertCount( 1, $order->notes );
	}

	public function test_an_order_that_waits_for_another_payment_is_paid_by_bitcoin(): void {
		$order = $this->order();
		$this->pay( $order );
		$order->method = 'bacs';
		$order->status = 'on-hold';
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$this->assertSame( array( 'processing', 'bitcache' ), array( $order->status, $order->method ) );
	}

	public function test_money_for_an_order_in_the_trash_is_noted_once(): void {
		$order = $this->order();
		$this->pay( $order );
		$order->status = 'trash';
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$this->assertSame( 'trash', $order->get_status() );
		$this->assertCount( 1, $order->notes );
	}

	public function test_the_first_order_asks_the_server_to_tell_and_plans_the_own_look(): void {
		Stand_In::$jobs = array();
		$this->pay( $this->order() );
		$this->assertStringEndsWith( '/webhook-endpoints', end( Stand_In::$calls )['url'] );
		$this->assertArrayHasKey( 'bitcache_orders', Stand_In::$jobs );
	}

	public function test_the_hourly_look_finds_what_nobody_told_of(): void {
		$told = array(
			'url'    => 'https://blog.example/wp-json/bitcache/v1/events',
			'site'   => 'st_AAAAAAAAAAAAAAAAAAAAAA',
			'secret' => 'whsec_x',
		);
		// WooCommerce gave it up within the hour, and the chain took longer.
		foreach ( array( array( 'paid', 'cancelled', $told, 'processing' ), array( 'refunded', 'processing', $told, 'processing' ), array( 'refunded', 'processing', null, 'refunded' ) ) as list( $state, $before, $stored, $after ) ) {
			$this->setUp();
			$order = $this->order();
			$this->pay( $order );
			$this->become( $state );
			$order->status                        = $before;
			Stand_In::$options['bitcache_events'] = $stored;
			$this->is_told                        = null !== $stored;
			WooCommerce::follow();
			$this->assertSame( $after, $order->get_status(), $state );
		}
	}

	public function test_too_little_and_too_late_are_noted_once_each(): void {
		$order = $this->order();
		$this->pay( $order );
		foreach ( array( 'invoice.underpaid', 'invoice.underpaid', 'invoice.credited' ) as $type ) {
			$this->orders()->note_money( $order, $type, 'in_1' );
		}
		$this->assertCount( 2, $order->notes );
		$this->assertSame( 'pending', $order->get_status() );
	}

	public function test_a_refund_on_the_server_is_recorded_once(): void {
		$order = $this->order();
		$this->pay( $order );
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$view = $this->become( 'refunded' );
		$this->orders()->settle( $order, $view );
		$this->orders()->settle( $order, $view );
		$this->assertSame( 11.9, $order->refunded );
	}

	public function test_a_refund_from_the_shop_is_whole_or_refused(): void {
		$order = $this->order();
		$this->pay( $order );
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$gateway = new Gateway();
		$this->assertInstanceOf( WP_Error::class, $gateway->process_refund( 7, '1.00' ) );
		$this->assertTrue( $gateway->process_refund( 7 ) );
		$this->assertTrue( $gateway->process_refund( 7, '11.90' ) );
		$call = end( Stand_In::$calls );
		$this->assertSame( array( 'holder' => 'in_x', 'item' => 'it_or_0' ), $call['body'] );
	}

	public function test_a_total_that_is_not_the_sum_becomes_one_line(): void {
		$order        = $this->order();
		$order->total = '10.00';
		$this->assertSame( array( 1000 ), array_column( Lines::of( $order ), 'unit_minor' ) );
	}

	public function test_orders_of_other_sites_are_not_found(): void {
		$this->order();
		$this->assertNull( Orders::find( 'wc-2-7-000000000000' ) );
		$this->assertNull( Orders::find( 'wc-1-8-000000000000' ) );
		$this->assertNull( Orders::find( "wc-1-7-000000000000\n" ) );
		$this->assertSame( 7, Orders::find( 'wc-1-7-000000000000' )->get_id() );
	}

	/** A token of the server, as docs/orders.md says. */
	private function token( string $order, string $state, string $key = 'bcgk_current' ): string {
		$claims  = array(
			's' => 'st_AAAAAAAAAAAAAAAAAAAAAA',
			'o' => $order,
			'r' => 'wc-1-7-000000000000',
			't' => $state,
			'a' => 1190,
			'c' => 'EUR',
		);
		$base64  = static function ( string $bytes ): string {
			return rtrim( strtr( base64_encode( $bytes ), '+/', '-_' ), '=' );
		};
		$payload = $base64( json_encode( $claims ) ) . '.' . $base64( ltrim( pack( 'N', time() ), "\0" ) );
		$sealed  = hash_hmac( 'sha256', $payload, hash_hmac( 'sha256', 'bitcache.order.v1', $key, true ), true );
		return $payload . '.' . $base64( $sealed );
	}

	/** What the page says to who comes back with a token. */
	private function come_back( $token ): string {
		$_GET = array( 'token' => $token );
		ob_start();
		WooCommerce::thank( 7 );
		$_GET = array();
		return (string) ob_get_clean();
	}

	public function test_who_comes_back_before_the_event_finds_the_order_paid(): void {
		$order = $this->order();
		$this->pay( $order );
		$this->become( 'paid' );
		$emptied = WC()->cart->emptied;
		$this->assertSame( '', $this->come_back( $this->token( 'or_0', 'paid' ) ) );
		$this->assertSame( array( 'or_0' ), $order->completed );
		$this->assertSame( $emptied + 1, WC()->cart->emptied );
		// And the event then changes nothing.
		$this->orders()->settle( $order, $this->become( 'paid' ) );
		$this->assertSame( array( 'or_0' ), $order->completed );
	}

	public function test_a_silent_server_is_a_kind_word_and_a_token_of_others_is_nothing(): void {
		$order = $this->order();
		$this->pay( $order );
		$calls            = count( Stand_In::$calls );
		Stand_In::$server = null;
		foreach ( array( '', array( 'x' ), 'x.y.z', $this->token( 'or_9', 'paid' ), $this->token( 'or_0', 'paid', 'another key' ) ) as $token ) {
			$this->assertSame( '', $this->come_back( $token ) );
		}
		$this->assertCount( $calls, Stand_In::$calls );
		$this->assertStringContainsString( 'has arrived', $this->come_back( $this->token( 'or_0', 'paid' ) ) );
		$this->assertStringContainsString( 'on its way', $this->come_back( $this->token( 'or_0', 'open' ) ) );
		$this->assertSame( 'pending', $order->get_status() );
	}

	public function test_it_is_offered_only_with_a_connection(): void {
		$this->assertTrue( ( new Gateway() )->is_available() );
		Stand_In::$options['woocommerce_currency'] = 'BTC';
		$this->assertFalse( ( new Gateway() )->is_available() );
		Stand_In::$options = array();
		$this->assertFalse( ( new Gateway() )->is_available() );
	}

	public function test_the_checkout_block_and_the_own_tables_of_orders_are_declared(): void {
		WooCommerce::begin();
		$this->assertSame(
			array(
				'custom_order_tables'  => true,
				'cart_checkout_blocks' => true,
			),
			FeaturesUtil::$declared
		);
		$this->assertSame( array( 'OtherGateway', Gateway::class ), WooCommerce::offer( array( 'OtherGateway' ) ) );
	}

	public function test_the_checkout_block_offers_it_as_the_classic_checkout_does(): void {
		$registry = new class() {
			public $all = array();
			public function register( $integration ) {
				$this->all[ $integration->get_name() ] = $integration;
				return true;
			}
		};
		WooCommerce::offer_in_blocks( $registry );
		$ours = $registry->all['bitcache'];
		$ours->initialize();
		$this->assertTrue( $ours->is_active() );
		$this->assertSame( array( 'bitcache-checkout' ), $ours->get_payment_method_script_handles() );
		list( $url ) = Stand_In::$options['script bitcache-checkout'];
		$this->assertFileExists( dirname( BITCACHE_FILE ) . '/assets/' . basename( $url ) );
		$this->assertSame( array( 'products', 'refunds' ), $ours->get_payment_method_data()['supports'] );
		$this->assertSame( 'Bitcoin', $ours->get_payment_method_data()['title'] );
		WC_Payment_Gateway::$stored = array();
		$this->assertFalse( $ours->is_active() );
	}

	public function test_nobody_is_offered_what_the_owner_has_not_switched_on(): void {
		WC_Payment_Gateway::$stored = array();
		$this->assertFalse( ( new Gateway() )->is_available() );
	}

	public function test_the_same_order_is_the_same_for_the_server_in_every_session(): void {
		$order = $this->order();
		$this->pay( $order );
		$first = Stand_In::$calls[0]['body'];
		$this->pay( $order );
		$this->assertSame( $first, Stand_In::$calls[1]['body'] );
		$this->assertStringNotContainsString( 'nonce', $first['cancel_url'] );
	}
}
