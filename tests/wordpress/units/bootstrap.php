<?php
/**
 * Loads the plugin's classes without WordPress; what they call of it are the stand-ins beside this file.
 */

define( 'ABSPATH', __DIR__ . '/' );
define( 'BITCACHE_VERSION', '0.0.0' );
define( 'BITCACHE_FILE', dirname( __DIR__, 3 ) . '/plugins/wordpress/bitcache.php' );

require __DIR__ . '/stand-in-wordpress.php';
require __DIR__ . '/stand-in-woocommerce.php';
require __DIR__ . '/stand-in-woocommerce-blocks.php';

spl_autoload_register(
	static function ( string $name ): void {
		if ( 0 === strncmp( $name, 'Bitcache\\', 9 ) ) {
			require dirname( BITCACHE_FILE ) . '/includes/' . strtr( substr( $name, 9 ), '\\', '/' ) . '.php';
		}
	}
);
