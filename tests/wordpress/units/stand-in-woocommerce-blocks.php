<?php
/**
 * Thin stand-ins for the two classes of WooCommerce that have a namespace: see stand-in-woocommerce.php.
 */

namespace Automattic\WooCommerce\Blocks\Payments\Integrations {

	abstract class AbstractPaymentMethodType {
		protected $name     = '';
		protected $settings = array();
		public function get_name() {
			return $this->name;
		}
		public function is_active() {
			return true;
		}
		public function get_payment_method_script_handles() {
			return array();
		}
		public function get_payment_method_data() {
			return array();
		}
	}
}

namespace Automattic\WooCommerce\Utilities {

	final class FeaturesUtil {
		/** @var array<string, bool> */
		public static $declared = array();
		public static function declare_compatibility( string $feature, string $file, bool $positive = true ): bool {
			self::$declared[ $feature ] = $positive && BITCACHE_FILE === $file;
			return true;
		}
	}
}
