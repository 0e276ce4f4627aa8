<?php
/**
 * One of two requests does it.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

/**
 * The customer comes back in the same second in which the server tells of the payment. Whoever
 * claims an order first completes it; the other one has read a state that is not true any more.
 */
final class Claim {

	const PREFIX = 'bitcache_order_';

	/** A request that has died is over after this, in seconds. */
	const LASTS_S = 120;

	/**
	 * Return whether this request is the one.
	 *
	 * @param string $id of the server's order.
	 */
	public static function take( string $id ): bool {
		global $wpdb;
		self::forget();
		// Options have a function that adds one, but it says yes to both who call it at once.
		// phpcs:ignore WordPress.DB.DirectDatabaseQuery -- see above.
		$made = $wpdb->query(
			$wpdb->prepare(
				"INSERT IGNORE INTO {$wpdb->options} (option_name, option_value, autoload) VALUES (%s, %s, 'no')",
				self::PREFIX . $id,
				(string) ( time() + self::LASTS_S )
			)
		);
		return 1 === $made;
	}

	/**
	 * The same order may be paid again.
	 *
	 * @param string $id of the server's order.
	 */
	public static function give_back( string $id ): void {
		delete_option( self::PREFIX . $id );
	}

	/** Forget what is over. */
	private static function forget(): void {
		global $wpdb;
		// phpcs:ignore WordPress.DB.DirectDatabaseQuery -- by an age; nobody reads them as options.
		$wpdb->query(
			$wpdb->prepare(
				"DELETE FROM {$wpdb->options} WHERE option_name LIKE %s AND option_value + 0 < %d",
				$wpdb->esc_like( self::PREFIX ) . '%',
				time()
			)
		);
	}
}
