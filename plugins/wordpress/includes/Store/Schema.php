<?php
/**
 * The plugin's tables.
 *
 * @package Bitcache
 */

namespace Bitcache\Store;

use Bitcache\Content\Defaults;
use Bitcache\Plugin;

/**
 * Makes and changes them, for each site of a network when that site is first used.
 */
final class Schema {

	const VERSION_OPTION = Plugin::VERSION_OPTION;

	/** Options that pages ask for, also where nobody has chosen anything. */
	const LOOKED_UP = array( 'bitcache_settings', 'bitcache_connection', Plugin::FILES_OPTION, Plugin::TEST_OPTION, 'bitcache_unmarked' );

	/** Attach every hook. */
	public function register(): void {
		register_activation_hook( BITCACHE_FILE, array( self::class, 'activate' ) );
		register_deactivation_hook( BITCACHE_FILE, array( self::class, 'deactivate' ) );
		add_action( 'init', array( self::class, 'upgrade' ), 1 );
		add_action( 'wp_initialize_site', array( self::class, 'new_site' ), 900 );
		add_filter( 'wpmu_drop_tables', array( self::class, 'dropped_with_site' ), 10, 2 );
	}

	/** Return the name of the table of purchases. */
	public static function purchases(): string {
		global $wpdb;
		return $wpdb->prefix . 'bitcache_purchases';
	}

	/** Return the name of the table of counters. */
	public static function counts(): string {
		global $wpdb;
		return $wpdb->prefix . 'bitcache_counts';
	}

	/**
	 * The owner switches the plugin on. The other sites of a network follow when they are visited.
	 */
	public static function activate(): void {
		self::install();
	}

	/** The owner switches the plugin off: nothing of it runs any more, nothing is lost. */
	public static function deactivate(): void {
		self::stop_jobs();
	}

	/** Take every job of ours out of WordPress' list. */
	public static function stop_jobs(): void {
		foreach ( (array) _get_cron_array() as $jobs ) {
			foreach ( array_keys( (array) $jobs ) as $hook ) {
				if ( 0 === strncmp( (string) $hook, 'bitcache_', 9 ) ) {
					wp_unschedule_hook( $hook );
				}
			}
		}
	}

	/** Make the tables where another version of the plugin was here last, or none. */
	public static function upgrade(): void {
		if ( BITCACHE_VERSION !== get_option( self::VERSION_OPTION ) ) {
			self::install();
		}
	}

	/**
	 * A network has a new site.
	 *
	 * @param \WP_Site $site the site.
	 */
	public static function new_site( $site ): void {
		if ( ! function_exists( 'is_plugin_active_for_network' ) ) {
			require_once ABSPATH . 'wp-admin/includes/plugin.php';
		}
		if ( is_plugin_active_for_network( plugin_basename( BITCACHE_FILE ) ) ) {
			switch_to_blog( (int) $site->blog_id );
			try {
				self::install();
			} finally {
				restore_current_blog();
			}
		}
	}

	/**
	 * Name our tables among those that go with a site.
	 *
	 * @param string[] $tables  names so far.
	 * @param int      $site_id the site.
	 * @return string[]
	 */
	public static function dropped_with_site( $tables, $site_id ): array {
		global $wpdb;
		$prefix = $wpdb->get_blog_prefix( (int) $site_id );
		return array_merge( (array) $tables, array( $prefix . 'bitcache_purchases', $prefix . 'bitcache_counts' ) );
	}

	/** Make or change the tables of the current site. */
	public static function install(): void {
		global $wpdb;
		require_once ABSPATH . 'wp-admin/includes/upgrade.php';
		$purchases = self::purchases();
		$counts    = self::counts();
		$charset   = $wpdb->get_charset_collate();
		dbDelta(
			"CREATE TABLE $purchases (
			id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
			reader_hash char(64) NOT NULL,
			item_id varchar(80) NOT NULL,
			part_key varchar(32) NOT NULL,
			post_id bigint(20) unsigned NOT NULL,
			grant_text text NOT NULL,
			holder varchar(80) NOT NULL,
			paid_msat bigint(20) unsigned NOT NULL,
			expires_at bigint(20) unsigned DEFAULT NULL,
			checked_at bigint(20) unsigned NOT NULL,
			created_at bigint(20) unsigned NOT NULL,
			PRIMARY KEY  (id),
			UNIQUE KEY reader_item (reader_hash,item_id),
			KEY item_holder (item_id,holder)
			) $charset;"
		);
		dbDelta(
			"CREATE TABLE $counts (
			post_id bigint(20) unsigned NOT NULL,
			part_key varchar(32) NOT NULL,
			used bigint(20) unsigned NOT NULL,
			PRIMARY KEY  (post_id,part_key)
			) $charset;"
		);
		Defaults::rebuild();
		( new Defaults() )->on_block();
		foreach ( self::LOOKED_UP as $name ) {
			// WordPress asks the database for each option that is not there, on every page.
			add_option( $name, '' );
		}
		update_option( self::VERSION_OPTION, BITCACHE_VERSION, true );
	}
}
