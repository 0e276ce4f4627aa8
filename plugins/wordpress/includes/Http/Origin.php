<?php
/**
 * Where a request comes from.
 *
 * @package Bitcache
 */

namespace Bitcache\Http;

/**
 * Cookies count without a nonce where paid parts are read; so pages of other sites get no answer.
 */
final class Origin {

	/** Say whether a page of this site sent the request, or no page at all. */
	public static function is_ours(): bool {
		$origin = self::header( 'HTTP_ORIGIN' );
		if ( '' === $origin ) {
			return ! in_array( self::header( 'HTTP_SEC_FETCH_SITE' ), array( 'cross-site', 'same-site' ), true );
		}
		$parts = wp_parse_url( $origin );
		$host  = ( $parts['host'] ?? '' ) . ( isset( $parts['port'] ) ? ':' . $parts['port'] : '' );
		return in_array( $origin, get_allowed_http_origins(), true )
			|| ( '' !== $host && strtolower( $host ) === strtolower( self::header( 'HTTP_HOST' ) ) );
	}

	/** Say that nothing of an answer may be kept by anybody, nor be read by other sites. */
	public static function send_private_headers(): void {
		foreach ( array( 'DONOTCACHEPAGE', 'DONOTCACHEDB', 'DONOTMINIFY' ) as $name ) {
			if ( ! defined( $name ) ) {
				define( $name, true );
			}
		}
		if ( headers_sent() ) {
			return;
		}
		header_remove( 'Access-Control-Allow-Origin' );
		header_remove( 'Access-Control-Allow-Credentials' );
		header_remove( 'Last-Modified' );
		header_remove( 'ETag' );
		header( 'Cache-Control: private, no-store, max-age=0' );
		header( 'Vary: Cookie, Origin' );
		header( 'X-Robots-Tag: noindex' );
		header( 'X-Content-Type-Options: nosniff' );
		// Of nginx' fastcgi_cache and of LiteSpeed.
		header( 'X-Accel-Expires: 0' );
		header( 'X-LiteSpeed-Cache-Control: no-cache' );
	}

	/**
	 * Return a header of the request; "" if it has none.
	 *
	 * @param string $name as PHP names it.
	 */
	private static function header( string $name ): string {
		$value = $_SERVER[ $name ] ?? ''; // phpcs:ignore -- compared only.
		return is_string( $value ) ? $value : '';
	}
}
