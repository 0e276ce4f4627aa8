<?php
/**
 * Tells page caches that pages with an attachment have changed.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * A cached page that still names the old address of a file shows a broken picture, never the
 * file. Pages are fetched again sooner when the cache is told.
 */
final class Purge {

	/** Functions by which page caches empty themselves, of the plugins most used. */
	const FUNCTIONS = array( 'wp_cache_clear_cache', 'w3tc_flush_posts', 'rocket_clean_domain', 'wpfc_clear_all_cache', 'sg_cachepress_purge_cache' );

	/** Actions that do the same. */
	const ACTIONS = array( 'litespeed_purge_all', 'cache_enabler_clear_complete_cache', 'breeze_clear_all_cache' );

	/** Empty the page caches that are there, once for each request. */
	public static function all( int $id ): void {
		clean_post_cache( $id );
		static $done = false;
		if ( $done ) {
			return;
		}
		$done = true;
		foreach ( self::FUNCTIONS as $name ) {
			if ( function_exists( $name ) ) {
				$name();
			}
		}
		foreach ( self::ACTIONS as $name ) {
			do_action( $name ); // phpcs:ignore WordPress.NamingConventions
		}
	}
}
