<?php
/**
 * Reads what the server has sealed.
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

/**
 * The form and the signature that grants and order tokens share (docs/grants.md): HMAC-SHA-256,
 * base64url and JSON. A signature is good for one purpose, because the purpose is part of the key.
 */
final class Seal {

	const MAX_CHARS = 4096;

	/** `\z`, because `$` would let a line end pass. */
	const FORM = '/\A([A-Za-z0-9_-]{1,4000})\.([A-Za-z0-9_-]{2,7})\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])\z/';

	/**
	 * Return the claims and, as `time`, the Unix seconds that were sealed with them; null for what
	 * none of the secrets made for this purpose.
	 *
	 * @param string   $token   as it was shown.
	 * @param string[] $secrets of the site, newest first; all are tried.
	 * @param string   $purpose such as `bitcache.grant.v1`.
	 * @return array{claims: array<mixed>, time: int}|null
	 */
	public static function open( string $token, array $secrets, string $purpose ): ?array {
		if ( strlen( $token ) > self::MAX_CHARS || ! preg_match( self::FORM, $token, $found ) ) {
			return null;
		}
		if ( ! self::is_signed( $found[1] . '.' . $found[2], $found[3], $secrets, $purpose ) ) {
			return null;
		}
		$claims = json_decode( self::bytes( $found[1] ), true, 8 );
		if ( ! is_array( $claims ) ) {
			return null;
		}
		return array(
			'claims' => $claims,
			'time'   => self::number( self::bytes( $found[2] ) ),
		);
	}

	/**
	 * Say whether one of the secrets made a signature.
	 *
	 * @param string   $signed    what was signed.
	 * @param string   $signature base64url.
	 * @param string[] $secrets   of the site.
	 * @param string   $purpose   part of the key.
	 */
	private static function is_signed( string $signed, string $signature, array $secrets, string $purpose ): bool {
		foreach ( $secrets as $secret ) {
			$key = hash_hmac( 'sha256', $purpose, $secret, true );
			$raw = hash_hmac( 'sha256', $signed, $key, true );
			if ( hash_equals( rtrim( strtr( base64_encode( $raw ), '+/', '-_' ), '=' ), $signature ) ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Return what base64url stands for.
	 *
	 * @param string $text without padding.
	 */
	private static function bytes( string $text ): string {
		return (string) base64_decode( strtr( $text, '-_', '+/' ), true );
	}

	/**
	 * Return a number of big-endian bytes.
	 *
	 * @param string $bytes at most five of them.
	 */
	private static function number( string $bytes ): int {
		$number = 0;
		foreach ( str_split( $bytes ) as $byte ) {
			$number = $number * 256 + ord( $byte );
		}
		return $number;
	}
}
