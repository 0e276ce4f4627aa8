<?php
/**
 * Everything that ties the plugin to WooCommerce, where that is installed.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

use Bitcache\Server\Client;
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

	/** At most so many in one run. */
	const BATCH = 20;

	/** Attach every hook. */
	public function register(): void {
		add_filter( 'woocommerce_payment_gateways', array( $this, 'offer' ) );
		add_action( 'before_woocommerce_init', array( $this, 'declare_features' ) );
		add_action( 'woocommerce_blocks_payment_method_type_registration', array( $this, 'offer_in_blocks' ) );
		add_action( 'woocommerce_thankyou_' . self::GATEWAY, array( $this, 'thank' ), 1 );
		add_action( 'woocommerce_update_options_payment_gateways_' . self::GATEWAY, array( $this, 'listen' ), 20 );
		add_action( self::CRON, array( $this, 'follow' ) );
	}

	/**
	 * Add the gateway.
	 *
	 * @param string[] $gateways class names.
	 * @return string[]
	 */
	public function offer( array $gateways ): array {
		$gateways[] = Gateway::class;
		return $gateways;
	}

	/** Orders may lie in WooCommerce's own tables, and the checkout may be made of blocks. */
	public function declare_features(): void {
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
	public function offer_in_blocks( $registry ): void {
		$registry->register( new BlocksSupport() );
	}

	/**
	 * The customer is back: look at once, so that the page says what is true.
	 *
	 * @param int $order_id of the shop.
	 */
	public function thank( $order_id ): void {
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
	public function listen(): void {
		Events::subscribe( new Client() );
		if ( ! wp_next_scheduled( self::CRON ) ) {
			wp_schedule_event( time() + 300, 'hourly', self::CRON );
		}
	}

	/** Ask about orders that wait. */
	public function follow(): void {
		if ( ! function_exists( 'wc_get_orders' ) ) {
			return;
		}
		$waiting = wc_get_orders(
			array(
				'payment_method' => self::GATEWAY,
				'status'         => array( 'pending', 'on-hold' ),
				'date_created'   => '>' . ( time() - self::FOLLOWED_S ),
				'limit'          => self::BATCH,
				'orderby'        => 'rand',
			)
		);
		$orders  = new Orders( new Client() );
		foreach ( $waiting as $order ) {
			try {
				$orders->refresh( $order );
			} catch ( ServerError $error ) {
				return;
			}
		}
	}
}
