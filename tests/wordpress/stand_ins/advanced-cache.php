<?php
/**
 * A page cache as greedy as the worst that are out there: what a GET was answered with, with
 * 200 and as HTML, is everybody's from then on. It looks at no cookie, at no header and not at
 * DONOTCACHEPAGE. It is made for tests.
 */

if ( 'GET' === ( $_SERVER['REQUEST_METHOD'] ?? '' ) && empty( $_SERVER['HTTP_X_TEST_SECRET'] ) ) {
	$bitcache_test_page = dirname( __DIR__ ) . '/pages-' . md5( $_SERVER['HTTP_HOST'] . $_SERVER['REQUEST_URI'] );
	if ( file_exists( $bitcache_test_page ) ) {
		header( 'Content-Type: text/html; charset=UTF-8' );
		header( 'X-Cache: HIT' );
		readfile( $bitcache_test_page );
		exit;
	}
	ob_start(
		function ( $page ) use ( $bitcache_test_page ) {
			$type = '';
			foreach ( headers_list() as $header ) {
				if ( 0 === stripos( $header, 'content-type:' ) ) {
					$type = $header;
				}
			}
			if ( 200 === http_response_code() && false !== stripos( $type, 'text/html' ) && false === strpos( $_SERVER['REQUEST_URI'], 'wp-' ) ) {
				file_put_contents( $bitcache_test_page, $page );
			}
			return $page;
		}
	);
}
