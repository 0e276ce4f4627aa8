<?php
/**
 * The way to pay in WooCommerce's checkout.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

use Bitcache\Plugin;
use Bitcache\Server\Client;
use Bitcache\Server\Connection;
use Bitcache\Server\ServerError;

/**
 * Sends the customer to the server's checkout page and back.
 *
 * This class can only be loaded where WooCommerce is.
 */
final class Gateway extends \WC_Payment_Gateway {

	const ID = WooCommerce::GATEWAY;

	/** Say who we are, as WooCommerce wants it. */
	public function __construct() {
		$this->id                 = self::ID;
		$this->method_title       = 'Bitcache';
		$this->method_description = __( 'Bitcoin: from a phone wallet, a browser wallet or a Bitcache balance.', 'bitcache' );
		$this->has_fields         = false;
		$this->supports           = array( 'products', 'refunds' );
		$this->init_form_fields();
		$this->init_settings();
		$this->title       = $this->get_option( 'title' );
		$this->description = $this->get_option( 'description' );
		add_action( 'woocommerce_update_options_payment_gateways_' . $this->id, array( $this, 'process_admin_options' ) );
	}

	/** The settings in WooCommerce; the connection has its own page. */
	public function init_form_fields(): void {
		$this->form_fields = array(
			'enabled'     => array(
				'title'   => __( 'Bitcoin', 'bitcache' ),
				'type'    => 'checkbox',
				'label'   => __( 'Customers can pay with bitcoin', 'bitcache' ),
				'default' => 'no',
			),
			'title'       => array(
				'title'   => __( 'Title', 'bitcache' ),
				'type'    => 'text',
				'default' => __( 'Bitcoin', 'bitcache' ),
			),
			'description' => array(
				'title'   => __( 'Description', 'bitcache' ),
				'type'    => 'text',
				'default' => __( 'From a phone wallet, a browser wallet or a Bitcache balance.', 'bitcache' ),
			),
		);
	}

	/** Offered only where it can work. */
	public function is_available(): bool {
		return parent::is_available() && Connection::is_connected()
			&& in_array( get_woocommerce_currency(), Connection::currencies(), true );
	}

	/**
	 * Make the server's order and lead there.
	 *
	 * @param int $order_id of the shop.
	 * @return array<string, string>
	 */
	public function process_payment( $order_id ): array {
		$order = wc_get_order( $order_id );
		try {
			$url = $this->orders()->checkout_url( $order, $this->get_return_url( $order ) );
		} catch ( ServerError $error ) {
			wc_add_notice( $error->words(), 'error' );
			return array(
				'result'   => 'failure',
				'redirect' => '',
			);
		}
		// The gateway may have been switched on past its own page.
		if ( ! wp_next_scheduled( WooCommerce::CRON ) ) {
			WooCommerce::listen();
		}
		// The basket stays until the order is paid: who turns back finds it as it was.
		return array(
			'result'   => 'success',
			'redirect' => $url,
		);
	}

	/**
	 * Give an order back, as a whole.
	 *
	 * @param int         $order_id of the shop.
	 * @param string|null $amount   in the order's currency; null for all of it.
	 * @param string      $reason   the shop's.
	 * @return bool|\WP_Error
	 */
	public function process_refund( $order_id, $amount = null, $reason = '' ) {
		$order  = wc_get_order( $order_id );
		$holder = (string) $order->get_meta( '_bitcache_holder' );
		$all    = Minor::of( $order->get_total(), $order->get_currency() );
		if ( '' === $holder || ( null !== $amount && Minor::of( $amount, $order->get_currency() ) !== $all ) ) {
			return new \WP_Error( 'bitcache_refund', __( 'Bitcache gives an order back as a whole. Write down a partial refund as a manual one.', 'bitcache' ) );
		}
		try {
			$body = array(
				'holder' => $holder,
				'item'   => (string) $order->get_meta( '_bitcache_item' ),
			);
			( new Client() )->once( '/refunds', $body, 'refund-' . $order->get_meta( Orders::META ) );
		} catch ( ServerError $error ) {
			return new \WP_Error( 'bitcache_refund', $error->words() );
		}
		return true;
	}

	/** What makes and settles orders. */
	private function orders(): Orders {
		return new Orders( new Client() );
	}
}
