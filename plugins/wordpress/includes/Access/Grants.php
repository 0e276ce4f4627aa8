<?php
/**
 * Checks grants.
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

use Bitcache\Server\Connection;

/**
 * Reads a grant without a call to the server.
 */
final class Grants {

	const PURPOSE = 'bitcache.grant.v1';

	/**
	 * Return what a grant of this site for an item says, or null if it opens nothing now.
	 *
	 * @param string $token   as it was shown.
	 * @param string $item_id the item that is asked for.
	 * @param int    $now     Unix seconds.
	 */
	public static function check( string $token, string $item_id, int $now ): ?Claims {
		try {
			return self::read( $token, $item_id, $now );
		} catch ( GrantRefused $refused ) {
			return null;
		}
	}

	/**
	 * Return what a grant of this site for an item says.
	 *
	 * @param string $token   as it was shown.
	 * @param string $item_id the item that is asked for.
	 * @param int    $now     Unix seconds.
	 * @throws GrantRefused `grant_invalid` or `grant_expired`, in that order.
	 */
	public static function read( string $token, string $item_id, int $now ): Claims {
		return self::verify( $token, Connection::keys(), Connection::site_id(), $item_id, $now );
	}

	/**
	 * The same with everything given.
	 *
	 * @param string   $token   as it was shown.
	 * @param string[] $secrets of the site, newest first; all are tried.
	 * @param string   $site_id the site.
	 * @param string   $item_id the item that is asked for.
	 * @param int      $now     Unix seconds.
	 * @throws GrantRefused `grant_invalid` or `grant_expired`, in that order.
	 */
	public static function verify( string $token, array $secrets, string $site_id, string $item_id, int $now ): Claims {
		$read   = Seal::open( $token, $secrets, self::PURPOSE );
		$claims = null === $read ? array() : $read['claims'];
		if ( ! self::has_types( $claims ) ) {
			throw new GrantRefused( 'grant_invalid' );
		}
		if ( $claims['s'] !== $site_id || $claims['i'] !== $item_id ) {
			throw new GrantRefused( 'grant_invalid' );
		}
		if ( null !== $claims['e'] && $now >= $claims['e'] ) {
			throw new GrantRefused( 'grant_expired' );
		}
		return new Claims( $claims, $read['time'] );
	}

	/**
	 * Say whether all claims are there, in their types.
	 *
	 * @param array<mixed> $claims as the payload has them.
	 */
	private static function has_types( array $claims ): bool {
		foreach ( array( 's', 'i', 'h' ) as $name ) {
			if ( ! isset( $claims[ $name ] ) || ! is_string( $claims[ $name ] ) ) {
				return false;
			}
		}
		foreach ( array( 'p', 'r' ) as $name ) {
			if ( ! isset( $claims[ $name ] ) || ! self::is_count( $claims[ $name ] ) ) {
				return false;
			}
		}
		return array_key_exists( 'e', $claims ) && ( null === $claims['e'] || self::is_count( $claims['e'] ) );
	}

	/**
	 * Say whether a claim is a whole number of 0 or more.
	 *
	 * @param mixed $value a claim.
	 */
	private static function is_count( $value ): bool {
		return is_int( $value ) && $value >= 0;
	}
}
