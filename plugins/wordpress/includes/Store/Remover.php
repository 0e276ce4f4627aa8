<?php
/**
 * Takes away what the plugin has made.
 *
 * @package Bitcache
 */

namespace Bitcache\Store;

use Bitcache\Settings;

/**
 * Used when the plugin is deleted, never before.
 */
final class Remover {

	/** Take away what the plugin has made on the current site. */
	public static function remove_site(): void {
		global $wpdb;
		$keeps_sales = (bool) Settings::get()['keep_sales'];
		Schema::stop_jobs();
		/** Files of paid attachments go back to where they came from. */
		do_action( 'bitcache_uninstall' );
		$kept = $keeps_sales ? array( '_bitcache_items', '_bitcache_sales' ) : array();
		$not  = '';
		foreach ( $kept as $name ) {
			$not .= $wpdb->prepare( ' AND meta_key <> %s', $name );
		}
		// phpcs:disable -- prepared above.
		$wpdb->query( "DELETE FROM {$wpdb->postmeta} WHERE meta_key LIKE '\\_bitcache\\_%'" . $not ); // nosemgrep: unprepared-sql
		$wpdb->query( "DELETE FROM {$wpdb->termmeta} WHERE meta_key LIKE 'bitcache\\_%'" );
		if ( ! $keeps_sales ) {
			$wpdb->query( 'DROP TABLE IF EXISTS ' . Schema::purchases() );
			$wpdb->query( 'DROP TABLE IF EXISTS ' . Schema::counts() );
		}
		$names = $wpdb->get_col( "SELECT option_name FROM {$wpdb->options} WHERE option_name LIKE 'bitcache\\_%' OR option_name LIKE '\\_transient\\_bitcache\\_%' OR option_name LIKE '\\_transient\\_timeout\\_bitcache\\_%'" );
		// phpcs:enable
		foreach ( $names as $name ) {
			delete_option( $name );
		}
		wp_cache_flush();
	}

	/** Take away what is the same for all sites of a network. */
	public static function remove_network(): void {
		delete_metadata( 'user', 0, 'bitcache_price', '', true );
		delete_metadata( 'user', 0, 'bitcache_currency', '', true );
		global $wpdb;
		// What waited for a server's answer, for each site and administrator.
		$wpdb->query( "DELETE FROM {$wpdb->usermeta} WHERE meta_key LIKE '\\_bitcache\\_connect\\_%'" ); // phpcs:ignore
	}
}
