<?php
/**
 * Keeps up with the keys that sign grants.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

/**
 * Keys change on the server, when somebody changes the site's secret there. The hourly look brings
 * the new one; the first reader with a grant of the new one brings it at once.
 */
final class Keys {

	const ASKED = 'bitcache_keys_asked';

	/** Asked at most once in this time, whatever strangers send, in seconds. */
	const PAUSE_S = 60;

	/** A reader waits for this, in seconds. */
	const TIMEOUT_S = 2;

	/**
	 * Ask the server for the keys, because of a grant that none of ours has signed.
	 *
	 * Return whether there is a new one. Never throws.
	 *
	 * @param string $grant that says, unproven, to be of this site.
	 */
	public static function ask_again( string $grant ): bool {
		if ( ! self::claims_to_be_ours( $grant ) || Health::is_resting() || get_transient( self::ASKED ) ) {
			return false;
		}
		set_transient( self::ASKED, time(), self::PAUSE_S );
		$before = Connection::keys();
		try {
			$site = ( new Client( self::TIMEOUT_S ) )->get( '/site' );
		} catch ( ServerError $error ) {
			Health::note( $error, 'keys' );
			return false;
		}
		Connection::save_keys( array_values( array_filter( (array) ( $site['grant_keys'] ?? array() ), 'is_string' ) ) );
		return Connection::keys() !== $before;
	}

	/**
	 * Say whether a grant names this site. Nobody has checked that; it only saves calls.
	 *
	 * @param string $grant as it was shown.
	 */
	private static function claims_to_be_ours( string $grant ): bool {
		if ( ! preg_match( '/\A([A-Za-z0-9_-]{1,4000})\.[A-Za-z0-9_-]{2,7}\.[A-Za-z0-9_-]{43}\z/', $grant, $found ) ) {
			return false;
		}
		$claims = json_decode( (string) base64_decode( strtr( $found[1], '-_', '+/' ), true ), true );
		return is_array( $claims ) && Connection::is_connected() && ( $claims['s'] ?? null ) === Connection::site_id();
	}
}
