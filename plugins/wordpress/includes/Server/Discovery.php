<?php
/**
 * From what somebody typed to a server whose parts are known.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

/**
 * Reads and checks `/.well-known/bitcache`.
 *
 * A server speaks for its own origin only: an answer that names parts on another one is refused.
 */
final class Discovery {

	/** Codes of our own for what is wrong with an address. */
	const NO_ADDRESS = 'no_address';
	const NOT_SECURE = 'not_secure';
	const ELSEWHERE  = 'elsewhere';
	const TOO_OLD    = 'other_version';

	/**
	 * Return the origin of what somebody pasted; "" for what is no address.
	 *
	 * `pay.example`, `https://pay.example/dashboard/` and `HTTPS://Pay.Example:443` are all
	 * `https://pay.example`.
	 *
	 * @param string $typed an address.
	 */
	public static function read_address( string $typed ): string {
		$text = trim( $typed );
		if ( ! preg_match( '#\A[a-z][a-z0-9+.-]*://#i', $text ) ) {
			$host = (string) wp_parse_url( 'https://' . $text, PHP_URL_HOST );
			$text = ( self::is_local( $host ) ? 'http://' : 'https://' ) . $text;
		}
		return self::origin_of( $text );
	}

	/**
	 * Return `scheme://host[:port]` of an address; "" where it has none.
	 *
	 * @param string $url whole address.
	 */
	public static function origin_of( string $url ): string {
		$parts  = wp_parse_url( $url );
		$scheme = strtolower( $parts['scheme'] ?? '' );
		$host   = strtolower( $parts['host'] ?? '' );
		if ( ! in_array( $scheme, array( 'http', 'https' ), true ) || isset( $parts['user'] ) || isset( $parts['pass'] ) ) {
			return '';
		}
		if ( ! preg_match( '/\A(\[[0-9a-f:.]+\]|[a-z0-9._-]+)\z/', $host ) ) {
			return '';
		}
		$usual = 'https' === $scheme ? 443 : 80;
		$port  = (int) ( $parts['port'] ?? $usual );
		return $scheme . '://' . $host . ( $usual === $port ? '' : ':' . $port );
	}

	/**
	 * Say whether an address may be talked to: over https, or on this machine itself.
	 *
	 * @param string $origin of `origin_of`.
	 */
	public static function is_safe( string $origin ): bool {
		return 0 === strncmp( $origin, 'https://', 8 ) || self::is_local( (string) wp_parse_url( $origin, PHP_URL_HOST ) );
	}

	/**
	 * Ask a server where its parts are.
	 *
	 * @param Client $client to ask with.
	 * @param string $origin of the server.
	 * @return array<string, mixed> `facts` for the connection, `authorize` and `token` addresses, `issuer`.
	 * @throws ServerError With a code of the API or of this class.
	 */
	public static function read( Client $client, string $origin ): array {
		if ( '' === $origin ) {
			throw new ServerError( self::NO_ADDRESS );
		}
		if ( ! self::is_safe( $origin ) ) {
			throw new ServerError( self::NOT_SECURE );
		}
		$found = $client->discover( $origin );
		if ( 'Bitcache' !== ( $found['name'] ?? '' ) || ! is_array( $found['connect'] ?? null ) ) {
			throw new ServerError( 'no_bitcache' );
		}
		if ( 'v1' !== ( $found['api_version'] ?? '' ) ) {
			throw new ServerError( self::TOO_OLD );
		}
		$connect = $found['connect'];
		$issuer  = self::text( $connect, 'issuer' );
		if ( $issuer !== $origin ) {
			throw new ServerError( self::ELSEWHERE, self::origin_of( $issuer ) );
		}
		$facts = array(
			'server'        => $origin,
			'api_url'       => self::own( $origin, $found, 'api_url' ),
			'widget_url'    => self::own( $origin, $found, 'widget_url' ),
			'dashboard_url' => self::own( $origin, $found, 'dashboard_url' ),
			// The stream of events may be on another port or host; only browsers read it.
			'events_url'    => self::origin_of( self::text( $found, 'events_url' ) ),
			'currencies'    => array_values( preg_grep( '/\A[A-Z]{3}\z/', array_filter( (array) ( $found['currencies'] ?? array() ), 'is_string' ) ) ),
		);
		return array(
			'facts'     => $facts,
			'issuer'    => $issuer,
			'authorize' => self::own( $origin, $connect, 'authorization_endpoint' ),
			'token'     => self::own( $origin, $connect, 'token_endpoint' ),
		);
	}

	/**
	 * Ask the server that we are connected to once more.
	 *
	 * @param Client $client to ask with.
	 * @throws ServerError As `read`.
	 */
	public static function refresh( Client $client ): void {
		Connection::save_facts( self::read( $client, Connection::server() )['facts'] );
	}

	/**
	 * Return what is wrong with an address, in plain words, as text.
	 *
	 * @param ServerError $error of `read`.
	 */
	public static function words( ServerError $error ): string {
		switch ( $error->code_name ) {
			case self::NO_ADDRESS:
				return __( 'That is no web address. It looks like https://pay.example', 'bitcache' );
			case self::NOT_SECURE:
				return __( 'The address must begin with https://. Without it anybody on the way could read the secret.', 'bitcache' );
			case self::ELSEWHERE:
				/* translators: %s: an address such as https://pay.example */
				return sprintf( __( 'That server says that its address is %s. Use that one.', 'bitcache' ), $error->getMessage() );
			case self::TOO_OLD:
				return __( 'That server speaks another version than this plugin. Update both.', 'bitcache' );
			case 'no_answer':
				return __( 'Nothing answers at that address. Check it, and whether the server runs.', 'bitcache' );
		}
		return $error->words();
	}

	/**
	 * Return an address on the server's own origin.
	 *
	 * @param string               $origin of the server.
	 * @param array<string, mixed> $from   part of the answer.
	 * @param string               $name   of the field.
	 * @throws ServerError Where it is anywhere else.
	 */
	private static function own( string $origin, array $from, string $name ): string {
		$url = self::text( $from, $name );
		if ( self::origin_of( $url ) !== $origin ) {
			throw new ServerError( 'no_bitcache' );
		}
		return esc_url_raw( $url );
	}

	/**
	 * @param array<string, mixed> $from part of the answer.
	 * @param string               $name of the field.
	 */
	private static function text( array $from, string $name ): string {
		return is_string( $from[ $name ] ?? null ) ? $from[ $name ] : '';
	}

	/** Say whether a host is this machine. */
	private static function is_local( string $host ): bool {
		$host = trim( strtolower( $host ), '[]' );
		return 'localhost' === $host || '.localhost' === substr( $host, -10 ) || '::1' === $host
			|| (bool) preg_match( '/\A127(\.\d{1,3}){3}\z/', $host );
	}
}
