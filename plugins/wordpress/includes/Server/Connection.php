<?php
/**
 * Which Bitcache server this site is connected to, and as whom.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

/**
 * The connection of one site; each site of a network has its own.
 *
 * What pages need (addresses) is in the option `bitcache_connection`, which WordPress loads with
 * all others. Secret and grant keys are in `bitcache_secret`, which is loaded only where it is
 * asked for. Neither is ever printed, logged, or shown by a REST route.
 */
final class Connection {

	const OPTION = 'bitcache_connection';
	const SECRET = 'bitcache_secret';

	/** Fields of the public part, each a text unless said otherwise. */
	const FACTS = array( 'server', 'api_url', 'widget_url', 'events_url', 'dashboard_url', 'site_id', 'merchant_id', 'site_name' );

	/** Say whether there is a server, a site, a secret to call with, and a key to check grants with. */
	public static function is_connected(): bool {
		return '' !== self::fact( 'server' ) && '' !== self::fact( 'site_id' );
	}

	/** Return the server's origin, such as `https://pay.example`; "" without a connection. */
	public static function server(): string {
		return self::fact( 'server' );
	}

	/** Return where the API is, without a slash at the end. */
	public static function api_url(): string {
		return self::fact( 'api_url' );
	}

	/** Return the address of the widget's script. */
	public static function widget_url(): string {
		return self::fact( 'widget_url' );
	}

	/** Return the origin that server-sent events come from. */
	public static function events_url(): string {
		return self::fact( 'events_url' );
	}

	/** Return the id of the site, `st_…`. */
	public static function site_id(): string {
		return self::fact( 'site_id' );
	}

	/** Return what the site is called on the server. */
	public static function site_name(): string {
		return self::fact( 'site_name' );
	}

	/** Return the address of the merchant's own page on the server. */
	public static function dashboard_url(): string {
		$url      = self::fact( 'dashboard_url' );
		$merchant = self::fact( 'merchant_id' );
		return '' === $url || '' === $merchant ? $url : $url . '/' . rawurlencode( $merchant );
	}

	/**
	 * Return the currencies that the server takes prices in; a short list before it was asked.
	 *
	 * @return string[]
	 */
	public static function currencies(): array {
		$found = self::facts()['currencies'] ?? array();
		return is_array( $found ) && $found ? $found : array( 'CHF', 'EUR', 'GBP', 'USD', 'SAT' );
	}

	/**
	 * Return what signs this site's grants, newest first; two while they are changed.
	 *
	 * @return string[]
	 */
	public static function keys(): array {
		$keys = self::secrets()['keys'] ?? array();
		return is_array( $keys ) ? array_values( array_filter( $keys, 'is_string' ) ) : array();
	}

	/** Return the site's secret, to call the server with. */
	public static function secret(): string {
		return (string) ( self::secrets()['secret'] ?? '' );
	}

	/** Return the last four characters of the secret: enough to tell two apart, no use otherwise. */
	public static function secret_hint(): string {
		$secret = self::secret();
		return strlen( $secret ) < 20 ? '' : substr( $secret, -4 );
	}

	/** Return when it was connected, in Unix seconds; 0 if it was not. */
	public static function connected_at(): int {
		return (int) ( self::facts()['connected_at'] ?? 0 );
	}

	/**
	 * Keep a connection in place of the one before.
	 *
	 * @param array<string, mixed> $facts  by the names in FACTS, and `currencies`.
	 * @param string               $secret of the site.
	 * @param string[]             $keys   that sign grants, newest first.
	 */
	public static function save( array $facts, string $secret, array $keys ): void {
		update_option(
			self::SECRET,
			array(
				'secret' => $secret,
				'keys'   => $keys,
			),
			false
		);
		self::save_facts( $facts + array( 'connected_at' => time() ) );
	}

	/**
	 * Change what is known of the server and the site; secret and keys stay.
	 *
	 * @param array<string, mixed> $facts by the names in FACTS, and `currencies`.
	 */
	public static function save_facts( array $facts ): void {
		$all  = $facts + self::facts();
		$kept = array();
		foreach ( self::FACTS as $name ) {
			$kept[ $name ] = (string) ( $all[ $name ] ?? '' );
		}
		$kept['currencies']   = array_values( array_filter( (array) ( $all['currencies'] ?? array() ), 'is_string' ) );
		$kept['connected_at'] = (int) ( $all['connected_at'] ?? 0 );
		update_option( self::OPTION, $kept, true );
	}

	/**
	 * Keep new grant keys; the secret stays.
	 *
	 * @param string[] $keys newest first.
	 */
	public static function save_keys( array $keys ): void {
		if ( $keys && self::keys() !== $keys ) {
			update_option( self::SECRET, array( 'keys' => $keys ) + self::secrets(), false );
		}
	}

	/** Forget the server, the site and every secret. Purchases and items stay known. */
	public static function forget(): void {
		delete_option( self::SECRET );
		delete_option( self::OPTION );
	}

	/**
	 * Return one field of the public part.
	 *
	 * @param string $name of the field.
	 */
	private static function fact( string $name ): string {
		return (string) ( self::facts()[ $name ] ?? '' );
	}

	/** @return array<string, mixed> */
	private static function facts(): array {
		$stored = get_option( self::OPTION, array() );
		return is_array( $stored ) ? $stored : array();
	}

	/** @return array<string, mixed> */
	private static function secrets(): array {
		$stored = get_option( self::SECRET, array() );
		return is_array( $stored ) ? $stored : array();
	}
}
