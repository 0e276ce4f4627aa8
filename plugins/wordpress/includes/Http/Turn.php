<?php
/**
 * One after the other, and not too often.
 *
 * @package Bitcache
 */

namespace Bitcache\Http;

/**
 * Strangers can make a page ask the server for an item: once a minute for each post, and so many
 * times a minute in all. The lock is a row that only one request can write.
 */
final class Turn {

	const PAUSE_S    = 60;
	const PER_MINUTE = 30;
	const PREFIX     = 'bitcache_turn_';

	/**
	 * Do some work if it is this request's turn. Return whether it was.
	 *
	 * @param int      $post_id what it is about.
	 * @param callable $work    called with the post's id.
	 */
	public static function run( int $post_id, callable $work ): bool {
		$count = (int) get_transient( self::PREFIX . 'count' );
		if ( $count >= self::PER_MINUTE || ! self::take( self::PREFIX . $post_id, time() ) ) {
			return false;
		}
		set_transient( self::PREFIX . 'count', $count + 1, self::PAUSE_S );
		$work( $post_id );
		return true;
	}

	/**
	 * Take the lock away, after it has led to what it was for.
	 *
	 * @param int $post_id what it was about.
	 */
	public static function done( int $post_id ): void {
		global $wpdb;
		$wpdb->delete( $wpdb->options, array( 'option_name' => self::PREFIX . $post_id ), '%s' );
	}

	/**
	 * Take the turn, also from one who took it long ago.
	 *
	 * @param string $name of the lock.
	 * @param int    $now  Unix seconds.
	 */
	private static function take( string $name, int $now ): bool {
		global $wpdb;
		// As WordPress locks its own upgrades.
		$inserted = $wpdb->query( $wpdb->prepare( "INSERT IGNORE INTO {$wpdb->options} (option_name, option_value, autoload) VALUES (%s, %d, 'no')", $name, $now ) );
		if ( 1 === (int) $inserted ) {
			return true;
		}
		$taken = $wpdb->query( $wpdb->prepare( "UPDATE {$wpdb->options} SET option_value = %d WHERE option_name = %s AND CAST(option_value AS UNSIGNED) < %d", $now, $name, $now - self::PAUSE_S ) );
		return 1 === (int) $taken;
	}
}
