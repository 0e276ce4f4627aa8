<?php
/**
 * What plugins for page caches do: when a post changes, every page that the cache has is thrown
 * away. It is made for tests, for nginx' cache and for the drop-in.
 */

add_action(
	'clean_post_cache',
	function () {
		foreach ( array( ABSPATH . 'pages-*', BITCACHE_TEST_RUN . '/nginx/cache/*' ) as $pages ) {
			array_map( 'unlink', glob( $pages ) );
		}
	}
);
