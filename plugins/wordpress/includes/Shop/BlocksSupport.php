<?php
/**
 * The gateway in WooCommerce's checkout block.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

use Automattic\WooCommerce\Blocks\Payments\Integrations\AbstractPaymentMethodType;

/**
 * Tells the block which script offers us and what to call us.
 *
 * This class can only be loaded where WooCommerce is.
 */
final class BlocksSupport extends AbstractPaymentMethodType {

	/** @var string */
	protected $name = WooCommerce::GATEWAY;

	/** Read what the shop chose. */
	public function initialize(): void {
		$this->settings = get_option( 'woocommerce_' . WooCommerce::GATEWAY . '_settings', array() );
	}

	/** Offered under the same conditions as in the classic checkout. */
	public function is_active(): bool {
		return ( new Gateway() )->is_available();
	}

	/** @return string[] */
	public function get_payment_method_script_handles(): array {
		wp_register_script(
			'bitcache-checkout',
			plugins_url( 'assets/checkout.js', BITCACHE_FILE ),
			array( 'wc-blocks-registry', 'wc-settings', 'wp-element', 'wp-html-entities' ),
			BITCACHE_VERSION,
			true
		);
		return array( 'bitcache-checkout' );
	}

	/** @return array<string, mixed> */
	public function get_payment_method_data(): array {
		$gateway = new Gateway();
		return array(
			'title'       => $gateway->title,
			'description' => $gateway->description,
			'supports'    => $gateway->supports,
		);
	}
}
