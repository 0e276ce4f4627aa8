<?php
/**
 * Plugin Name:       Bitcache
 * Description:       Sell a post, a part of it, a picture or a file for a few cents in bitcoin. One click, no account.
 * Version:           0.1.0
 * Requires at least: 6.1
 * Requires PHP:      7.4
 * Author:            Bitcache
 * License:           GPL-2.0-or-later
 * License URI:       https://www.gnu.org/licenses/gpl-2.0.html
 * Text Domain:       bitcache
 * Domain Path:       /languages
 *
 * @package Bitcache
 */

defined( 'ABSPATH' ) || exit;

define( 'BITCACHE_VERSION', '0.1.0' );
define( 'BITCACHE_FILE', __FILE__ );

spl_autoload_register(
	static function ( string $name ): void {
		if ( 0 === strncmp( $name, 'Bitcache\\', 9 ) ) {
			$file = __DIR__ . '/includes/' . strtr( substr( $name, 9 ), '\\', '/' ) . '.php';
			if ( is_file( $file ) ) {
				// What a page always needs is loaded below, and says nothing by itself.
				\Bitcache\Plugin::get()->speak();
				require $file; // nosemgrep: include-of-a-variable -- a class of ours, by its name.
			}
		}
	}
);

// What every page needs, at once: the line above looks for each on the disk first.
foreach ( array( 'Plugin', 'Hooks', 'Settings', 'Content/Defaults', 'Content/Glance', 'Surfaces/Data', 'Surfaces/Content', 'Surfaces/Blocks', 'Front/BlockParser' ) as $bitcache_part ) {
	require __DIR__ . '/includes/' . $bitcache_part . '.php'; // nosemgrep: include-of-a-variable -- one of the line above.
}
unset( $bitcache_part );

\Bitcache\Plugin::get()->register();
