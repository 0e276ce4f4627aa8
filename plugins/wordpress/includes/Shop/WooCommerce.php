<?php
/**
 * Everything that ties the plugin to WooCommerce, where that is installed.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

use Bitcache\Hooks;
use Bitcache\Server\Client;
use Bitcache\Server\Connection;
use Bitcache\Server\ServerError;

/**
 * Offers the gateway, follows its orders and says which of WooCommerce's features it can take.
 */
final class WooCommerce {

	/** What WooCommerce calls our way to pay. Not in Gateway, which cannot be loaded without it. */
	const GATEWAY = 'bitcache';

	/** Asks about orders that nobody told of: the site may be unreachable for the server. */
	const CRON = 'bitcache_orders';

	/** How long an order that was not paid is asked about, in seconds. */
	const FOLLOWED_S = 3 * 86400;

	/** At most so many in one run, of so many that wait. */
	const BATCH = 20;
	const MOST  = 500;

	/** States of orders that money can still change. */
	const WAITING = array( 'pending', 'on-hold', 'cancelled', 'failed' );

	/** States of orders that can be given back. */
	const PAID = array( 'processing', 'completed' );

	/**
	 * Add the gateway.
	 *
	 * @param string[] $gateways class names.
	 * @return string[]
	 */
	public static function offer( array $gateways ): array {
		$gateways[] = Gateway::class;
		return $gateways;
	}

	/** WooCommerce is here: orders may lie in its own tables, and the checkout may be made of blocks. */
	public static function begin(): void {
		Hooks::attach( Hooks::SHOP );
		$features = 'Automattic\WooCommerce\Utilities\FeaturesUtil';
		if ( class_exists( $features ) ) {
			$features::declare_compatibility( 'custom_order_tables', BITCACHE_FILE, true );
			$features::declare_compatibility( 'cart_checkout_blocks', BITCACHE_FILE, true );
		}
	}

	/**
	 * Add the gateway to the checkout block.
	 *
	 * @param object $registry of WooCommerce.
	 */
	public static function offer_in_blocks( $registry ): void {
		$registry->register( new BlocksSupport() );
	}

	/**
	 * The customer is back: look at once, so that the page says what is true.
	 *
	 * @param int $order_id of the shop.
	 */
	public static function thank( $order_id ): void {
		$order = wc_get_order( $order_id );
		// phpcs:ignore WordPress.Security.NonceVerification.Recommended -- the token is sealed by the server.
		$token = isset( $_GET['token'] ) ? sanitize_text_field( wp_unslash( $_GET['token'] ) ) : '';
		$said  = OrderToken::read( $token );
		if ( ! $order || null === $said || $said['o'] !== $order->get_meta( Orders::META ) ) {
			return;
		}
		try {
			( new Orders( new Client() ) )->refresh( $order );
		} catch ( ServerError $error ) {
			// The event comes later; the token is enough for a kind word.
			echo '<p>' . esc_html( 'paid' === $said['t'] ? __( 'Your payment has arrived.', 'bitcache' ) : __( 'Your payment is on its way.', 'bitcache' ) ) . '</p>';
		}
		if ( $order->is_paid() && function_exists( 'WC' ) && WC()->cart ) {
			WC()->cart->empty_cart();
		}
	}

	/** Ask the server to tell of orders, once the gateway is switched on; and look oneself, too. */
	public static function listen(): void {
		Events::subscribe( new Client() );
		if ( ! wp_next_scheduled( self::CRON ) ) {
			wp_schedule_event( time() + 300, 'hourly', self::CRON );
		}
	}

	/** Ask about orders that wait, or all where the server cannot tell of them. */
	public static function follow(): void {
		if ( ! function_exists( 'wc_get_orders' ) || ! Connection::is_connected() ) {
			return;
		}
		$client = new Client();
		Events::subscribe( $client );
		$found = wc_get_orders(
			array(
				'payment_method' => self::GATEWAY,
				// WooCommerce gives up what is not paid within the hour; a payment on the chain may take longer.
				'status'         => array_merge( self::WAITING, Events::is_told() ? array() : self::PAID ),
				'date_created'   => '>' . ( time() - self::FOLLOWED_S ),
				'limit'          => self::MOST,
				'return'         => 'ids',
			)
		);
		// WooCommerce's own tables know no order by chance.
		shuffle( $found );
		$orders = new Orders( $client );
		foreach ( array_slice( $found, 0, self::BATCH ) as $order_id ) {
			$order = wc_get_order( $order_id );
			try {
				if ( $order ) {
					$orders->refresh( $order );
				}
			} catch ( ServerError $error ) {
				if ( $error->is_passing() ) {
					return;
				}
			}
		}
	}
}
