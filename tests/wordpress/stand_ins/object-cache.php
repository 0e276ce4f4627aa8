<?php
/**
 * A persistent object cache as real ones are: what a request has cached, later requests find.
 *
 * WordPress' own cache, kept in a file between requests.
 */

require_once ABSPATH . WPINC . '/class-wp-object-cache.php';

/** Return a cache that begins as the last one ended. */
function bitcache_test_cache() {
	$path  = BITCACHE_TEST_RUN . '/object-cache';
	$cache = is_file( $path ) ? unserialize( file_get_contents( $path ) ) : new WP_Object_Cache();
	register_shutdown_function(
		function () use ( $path ) {
			file_put_contents( $path . getmypid(), serialize( $GLOBALS['wp_object_cache'] ) );
			rename( $path . getmypid(), $path );
		}
	);
	return $cache;
}

$bitcache_test_source = file_get_contents( ABSPATH . WPINC . '/cache.php' );
// phpcs:ignore Squiz.PHP.Eval -- WordPress' own functions, with another beginning.
eval( '?>' . str_replace( 'new WP_Object_Cache()', 'bitcache_test_cache()', $bitcache_test_source ) );
unset( $bitcache_test_source );
