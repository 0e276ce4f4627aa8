<?php
/**
 * When WP-Cron works for this plugin.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

/**
 * Plans the hourly look, and unplans everything when the plugin is switched off.
 */
final class Schedule {

	const HOURLY = 'bitcache_refresh';

	/** Attach every hook. */
	public function register(): void {
		add_action( 'admin_init', array( self::class, 'plan' ) );
		register_deactivation_hook( BITCACHE_FILE, array( self::class, 'unplan_everywhere' ) );
	}

	/** Plan the hourly look of a site that is connected. */
	public static function plan(): void {
		if ( Connection::is_connected() && ! wp_next_scheduled( self::HOURLY ) ) {
			// Not all sites at the full hour.
			wp_schedule_event( time() + wp_rand( 60, HOUR_IN_SECONDS ), 'hourly', self::HOURLY );
		}
	}

	/** Plan nothing any more, on this site. */
	public static function unplan(): void {
		wp_clear_scheduled_hook( self::HOURLY );
		wp_clear_scheduled_hook( Queue::HOOK );
		delete_option( Queue::LOCK );
	}

	/**
	 * Plan nothing any more, on each site of the network where it was switched off for all.
	 *
	 * @param bool $network whether it was.
	 */
	public static function unplan_everywhere( $network ): void {
		if ( ! $network || ! is_multisite() ) {
			self::unplan();
			return;
		}
		foreach ( get_sites( array( 'fields' => 'ids', 'number' => 0 ) ) as $site_id ) {
			switch_to_blog( $site_id );
			self::unplan();
			restore_current_blog();
		}
	}
}
