<?php
/**
 * What the server says about an order when it sends the customer back.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

use Bitcache\Access\Seal;
use Bitcache\Server\Connection;

/**
 * Reads the sealed `token` of a return address (docs/orders.md, "Back in the shop").
 */
final class OrderToken {

	const PURPOSE = 'bitcache.order.v1';

	/**
	 * Return the claims of a token of this site, or null for what was not made by the server.
	 *
	 * @param string $token as it stood in the address.
	 * @return array{o: string, r: string, t: string, a: int, c: string}|null
	 */
	public static function read( string $token ): ?array {
		$read   = Seal::open( $token, Connection::keys(), self::PURPOSE );
		$claims = null === $read ? array() : $read['claims'];
		if ( ( $claims['s'] ?? null ) !== Connection::site_id() ) {
			return null;
		}
		foreach ( array( 'o', 'r', 't', 'c' ) as $name ) {
			if ( ! isset( $claims[ $name ] ) || ! is_string( $claims[ $name ] ) ) {
				return null;
			}
		}
		return isset( $claims['a'] ) && is_int( $claims['a'] ) ? $claims : null;
	}
}
