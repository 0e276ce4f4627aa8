<?php
/**
 * Takes away what the plugin has made.
 *
 * @package Bitcache
 */

namespace Bitcache\Store;

use Bitcache\Files\Folder;
use Bitcache\Settings;
use Bitcache\Shop\WooCommerce;

/**
 * Used when the plugin is deleted, or a site of a network, never before.
 */
final class Remover {

	/** Attach every hook. */
	public function register(): void {
		add_action( 'wp_uninitialize_site', array( self::class, 'remove_files_of' ), 1 );
	}

	/**
	 * A site of a network is deleted: its private files go with its uploads.
	 *
	 * @param \WP_Site $site the site.
	 */
	public static function remove_files_of( $site ): void {
		$number = (int) $site->blog_id;
		switch_to_blog( $number );
		if ( Folder::exists() ) {
			foreach ( array_merge( array( Folder::root() ), array_keys( Folder::former() ) ) as $folder ) {
				// Each site has a folder of its own below the chosen one, named after its number.
				if ( is_dir( $folder ) && basename( $folder ) === (string) $number ) {
					self::empty_folder( $folder );
				}
			}
			Folder::remove_empty();
		}
		restore_current_blog();
	}

	/**
	 * Delete every file below a folder.
	 *
	 * @param string $folder an existing one.
	 */
	private static function empty_folder( string $folder ): void {
		$inside = new \RecursiveDirectoryIterator( $folder, \FilesystemIterator::SKIP_DOTS );
		foreach ( new \RecursiveIteratorIterator( $inside ) as $item ) {
			if ( $item->isFile() || $item->isLink() ) {
				wp_delete_file( $item->getPathname() );
			}
		}
	}

	/** Take away everything, on each site of a network. */
	public static function remove_all(): void {
		/** Files of paid attachments go back to where they came from. */
		self::on_each_site(
			static function (): void {
				do_action( 'bitcache_uninstall' );
			}
		);
		// Or what follows each price would write its index, and plan its jobs, anew.
		self::detach();
		self::on_each_site( array( self::class, 'remove_site' ) );
		self::remove_network();
	}

	/** Take away what the plugin has made on the current site. */
	private static function remove_site(): void {
		global $wpdb;
		$keeps_sales = (bool) Settings::get()['keep_sales'];
		Schema::stop_jobs();
		$kept = $keeps_sales ? array( '_bitcache_items', '_bitcache_sales' ) : array();
		$not  = '';
		foreach ( $kept as $name ) {
			$not .= $wpdb->prepare( ' AND meta_key <> %s', $name );
		}
		if ( $keeps_sales ) {
			// What a shop's order was paid with.
			$not .= " AND post_id NOT IN ( SELECT ID FROM {$wpdb->posts} WHERE post_type = 'shop_order' )";
		}
		// phpcs:disable -- prepared above.
		$wpdb->query( "DELETE FROM {$wpdb->postmeta} WHERE meta_key LIKE '\\_bitcache\\_%'" . $not ); // nosemgrep: unprepared-sql
		$wpdb->query( "DELETE FROM {$wpdb->termmeta} WHERE meta_key LIKE 'bitcache\\_%'" );
		if ( ! $keeps_sales ) {
			$wpdb->query( 'DROP TABLE IF EXISTS ' . Schema::purchases() );
			$wpdb->query( 'DROP TABLE IF EXISTS ' . Schema::counts() );
			$orders = $wpdb->prefix . 'wc_orders_meta';
			if ( $orders === $wpdb->get_var( $wpdb->prepare( 'SHOW TABLES LIKE %s', $wpdb->esc_like( $orders ) ) ) ) {
				$wpdb->query( "DELETE FROM {$orders} WHERE meta_key LIKE '\\_bitcache\\_%'" ); // nosemgrep: unprepared-sql -- WooCommerce's own table, by its name.
			}
		}
		$names = $wpdb->get_col( "SELECT option_name FROM {$wpdb->options} WHERE option_name LIKE 'bitcache\\_%' OR option_name LIKE '\\_transient\\_bitcache\\_%' OR option_name LIKE '\\_transient\\_timeout\\_bitcache\\_%'" );
		// phpcs:enable
		$names[] = 'woocommerce_' . WooCommerce::GATEWAY . '_settings';
		foreach ( $names as $name ) {
			delete_option( $name );
		}
		wp_cache_flush();
	}

	/** Take away what is the same for all sites of a network. */
	private static function remove_network(): void {
		delete_metadata( 'user', 0, 'bitcache_price', '', true );
		delete_metadata( 'user', 0, 'bitcache_currency', '', true );
		global $wpdb;
		// What waited for a server's answer, for each site and administrator.
		$wpdb->query( "DELETE FROM {$wpdb->usermeta} WHERE meta_key LIKE '\\_bitcache\\_connect\\_%'" ); // phpcs:ignore -- nothing in it comes from outside.
	}

	/**
	 * Do something on each site of a network, or on the only one.
	 *
	 * @param callable $deed without arguments.
	 */
	private static function on_each_site( callable $deed ): void {
		if ( ! is_multisite() ) {
			$deed();
			return;
		}
		foreach ( get_sites( array( 'fields' => 'ids', 'number' => 0 ) ) as $site_id ) {
			switch_to_blog( (int) $site_id );
			$deed();
			restore_current_blog();
		}
	}

	/** Take every hook of the plugin away: it is still loaded, and would follow what is deleted. */
	private static function detach(): void {
		foreach ( $GLOBALS['wp_filter'] as $hook => $attached ) {
			foreach ( $attached->callbacks as $priority => $callbacks ) {
				$ours = array_filter( array_column( $callbacks, 'function' ), array( self::class, 'is_ours' ) );
				foreach ( $ours as $callback ) {
					remove_filter( $hook, $callback, $priority );
				}
			}
		}
	}

	/**
	 * Say whether a callback is the plugin's own.
	 *
	 * @param mixed $callback that is attached to a hook.
	 */
	private static function is_ours( $callback ): bool {
		if ( $callback instanceof \Closure ) {
			$file = (string) ( new \ReflectionFunction( $callback ) )->getFileName();
			return 0 === strpos( $file, dirname( BITCACHE_FILE ) . DIRECTORY_SEPARATOR );
		}
		$owner = is_array( $callback ) ? $callback[0] : $callback;
		return 0 === strpos( is_object( $owner ) ? get_class( $owner ) : (string) $owner, 'Bitcache\\' );
	}
}
