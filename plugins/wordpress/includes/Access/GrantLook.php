<?php
/**
 * Asks the server about a grant.
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

use Bitcache\Server\Connection;

/**
 * Needed for purchases from a balance only: those can be undone (docs/grants.md).
 */
final class GrantLook {

	/** A reader waits for this, in seconds. */
	const TIMEOUT_S = 2;

	/** After a server that did not answer nobody waits for it again for so long, in seconds. */
	const PAUSE_S = 30;

	const AWAY = 'bitcache_server_away';

	/**
	 * Return true or false as the server says, or null when it says nothing.
	 *
	 * @param string $grant whose signature was checked.
	 * @param int    $now   Unix seconds.
	 */
	public static function is_good( string $grant, int $now ): ?bool {
		if ( ! Connection::is_connected() || get_transient( self::AWAY ) ) {
			return null;
		}
		$answer = wp_remote_get(
			Connection::api_url() . '/grant',
			array(
				'headers'             => array(
					'Authorization' => 'Bearer ' . $grant,
					'Accept'        => 'application/json',
				),
				'timeout'             => self::TIMEOUT_S,
				'redirection'         => 0,
				'limit_response_size' => 65536,
				'user-agent'          => 'Bitcache-WordPress/' . BITCACHE_VERSION,
			)
		);
		if ( is_wp_error( $answer ) || wp_remote_retrieve_response_code( $answer ) >= 500 ) {
			set_transient( self::AWAY, $now, self::PAUSE_S );
			return null;
		}
		if ( 200 === wp_remote_retrieve_response_code( $answer ) ) {
			return true;
		}
		$body = json_decode( wp_remote_retrieve_body( $answer ), true );
		$code = is_array( $body ) ? (string) ( $body['code'] ?? '' ) : '';
		return in_array( $code, array( 'grant_revoked', 'grant_expired', 'grant_invalid' ), true ) ? false : null;
	}
}
