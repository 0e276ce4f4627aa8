<?php
/**
 * "Free for the first readers".
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

use Bitcache\Store\Schema;

/**
 * Counts readers of a part, each once. The counter and the row of a reader are changed by single
 * statements, so that no crowd gets more than its number.
 */
final class FreeReaders {

	/**
	 * Say whether a reader is one of the first, and count them if there is room.
	 *
	 * @param Reader $reader  who asks; gets a name if there is room.
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 * @param int    $limit   how many there are.
	 * @param int    $now     Unix seconds.
	 */
	public static function admit( Reader $reader, int $post_id, string $key, int $limit, int $now ): bool {
		if ( $limit < 1 ) {
			return false;
		}
		if ( self::is_in( $reader, $post_id, $key ) ) {
			return true;
		}
		if ( ! self::take( $post_id, $key, $limit ) ) {
			return false;
		}
		$reader->keep();
		if ( ! self::write( $reader, $post_id, $key, $now ) ) {
			// The same reader in another tab.
			self::give_back( $post_id, $key );
		}
		return true;
	}

	/**
	 * Return how many readers a part had.
	 *
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 */
	public static function used( int $post_id, string $key ): int {
		global $wpdb;
		$table = Schema::counts();
		// phpcs:ignore -- the table's name is ours.
		return (int) $wpdb->get_var( $wpdb->prepare( "SELECT used FROM $table WHERE post_id = %d AND part_key = %s", $post_id, $key ) );
	}

	/**
	 * Return what stands for "free" where purchases have an item.
	 *
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 */
	private static function item( int $post_id, string $key ): string {
		return "free:$post_id:$key";
	}

	/**
	 * Say whether a reader was counted.
	 *
	 * @param Reader $reader  who asks.
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 */
	public static function is_in( Reader $reader, int $post_id, string $key ): bool {
		global $wpdb;
		if ( ! $reader->is_known() ) {
			return false;
		}
		$table = Schema::purchases();
		// phpcs:ignore -- the table's name is ours.
		return (bool) $wpdb->get_var( $wpdb->prepare( "SELECT 1 FROM $table WHERE reader_hash = %s AND item_id = %s", $reader->hash(), self::item( $post_id, $key ) ) );
	}

	/** Take a place if there is one. */
	private static function take( int $post_id, string $key, int $limit ): bool {
		global $wpdb;
		$table = Schema::counts();
		// phpcs:disable -- the table's name is ours.
		$update = $wpdb->prepare( "UPDATE $table SET used = used + 1 WHERE post_id = %d AND part_key = %s AND used < %d", $post_id, $key, $limit );
		if ( 1 === (int) $wpdb->query( $update ) ) {
			return true;
		}
		$wpdb->query( $wpdb->prepare( "INSERT IGNORE INTO $table (post_id, part_key, used) VALUES (%d, %s, 0)", $post_id, $key ) );
		return 1 === (int) $wpdb->query( $update );
		// phpcs:enable
	}

	/** Give a place back. */
	private static function give_back( int $post_id, string $key ): void {
		global $wpdb;
		$table = Schema::counts();
		// phpcs:ignore -- the table's name is ours.
		$wpdb->query( $wpdb->prepare( "UPDATE $table SET used = used - 1 WHERE post_id = %d AND part_key = %s AND used > 0", $post_id, $key ) );
	}

	/** Write a reader down. Return whether they were not there yet. */
	private static function write( Reader $reader, int $post_id, string $key, int $now ): bool {
		global $wpdb;
		$table = Schema::purchases();
		// The row has no part, so that it never counts as bought when the rule is gone.
		// phpcs:ignore -- the table's name is ours.
		return 1 === (int) $wpdb->query( $wpdb->prepare( "INSERT IGNORE INTO $table (reader_hash, item_id, part_key, post_id, grant_text, holder, paid_msat, checked_at, created_at) VALUES (%s, %s, '', %d, '', '', 0, 0, %d)", $reader->hash(), self::item( $post_id, $key ), $post_id, $now ) );
	}
}
