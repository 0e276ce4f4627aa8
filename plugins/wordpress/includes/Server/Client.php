<?php
/**
 * Calls of the Bitcache server.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

/**
 * One call, sent once: who must not fail calls again later, with the same idempotency key.
 *
 * Every method returns the decoded answer or throws ServerError. The secret goes to the server
 * that gave it and nowhere else: redirects are not followed.
 */
final class Client {

	/** What a call may take, in seconds. Nothing that a reader waits for calls at all. */
	const TIMEOUT_S = 5;

	/** Longer answers are no answers of ours, in bytes. */
	const MAX_ANSWER = 2097152;

	/** @var int */
	private $server_now = 0;

	/** @var int */
	private $timeout_s;

	/**
	 * Make a client.
	 *
	 * @param int $timeout_s what a call may take, in seconds.
	 */
	public function __construct( int $timeout_s = self::TIMEOUT_S ) {
		$this->timeout_s = $timeout_s;
	}

	/** Return the server's time at its last answer, in Unix seconds; 0 where it said none. */
	public function server_now(): int {
		return $this->server_now;
	}

	/**
	 * Read from the API, as the site.
	 *
	 * @param string               $path  below /v1, such as `/items`.
	 * @param array<string, mixed> $query what stands behind the question mark.
	 * @return array<string, mixed>
	 */
	public function get( string $path, array $query = array() ): array {
		$query = array_filter(
			$query,
			static function ( $value ): bool {
				return null !== $value && '' !== $value;
			}
		);
		$url   = $this->api( $path ) . ( $query ? '?' . http_build_query( $query, '', '&', PHP_QUERY_RFC3986 ) : '' );
		return $this->send( 'GET', $url, array( 'Authorization' => $this->bearer() ) );
	}

	/**
	 * Do something as the site that the server does once for each key.
	 *
	 * @param string               $path below /v1.
	 * @param array<string, mixed> $body is sent as JSON.
	 * @param string               $key  idempotency key: the same for each try of the same call.
	 * @return array<string, mixed>
	 */
	public function once( string $path, array $body, string $key ): array {
		$headers = array(
			'Authorization'   => $this->bearer(),
			'Content-Type'    => 'application/json',
			'Idempotency-Key' => $key,
		);
		return $this->send( 'POST', $this->api( $path ), $headers, (string) wp_json_encode( (object) $body ) );
	}

	/**
	 * Read what a server says of itself, by its origin. Needs no connection.
	 *
	 * @param string $origin such as `https://pay.example`.
	 * @return array<string, mixed>
	 */
	public function discover( string $origin ): array {
		return $this->send( 'GET', $origin . '/.well-known/bitcache', array() );
	}

	/**
	 * Read who a secret belongs to. Needs no connection.
	 *
	 * @param string $api_url such as `https://pay.example/v1`.
	 * @param string $secret  of a site.
	 * @return array<string, mixed>
	 */
	public function site( string $api_url, string $secret ): array {
		return $this->send( 'GET', $api_url . '/site', array( 'Authorization' => 'Bearer ' . $secret ) );
	}

	/**
	 * Send a form, as OAuth wants it. Needs no connection.
	 *
	 * @param string                $url    whole address.
	 * @param array<string, string> $fields of the form.
	 * @return array<string, mixed>
	 */
	public function form( string $url, array $fields ): array {
		$headers = array( 'Content-Type' => 'application/x-www-form-urlencoded' );
		return $this->send( 'POST', $url, $headers, http_build_query( $fields, '', '&', PHP_QUERY_RFC1738 ) );
	}

	/**
	 * Return a whole address of the API.
	 *
	 * @param string $path below /v1.
	 * @throws ServerError Without a connection.
	 */
	private function api( string $path ): string {
		if ( ! Connection::is_connected() ) {
			throw new ServerError( 'not_connected' );
		}
		return Connection::api_url() . $path;
	}

	/**
	 * Return the header that says who we are.
	 *
	 * @throws ServerError Without a secret.
	 */
	private function bearer(): string {
		if ( '' === Connection::secret() ) {
			throw new ServerError( 'not_connected' );
		}
		return 'Bearer ' . Connection::secret();
	}

	/**
	 * Send one call.
	 *
	 * @param string                $method  of HTTP.
	 * @param string                $url     whole address.
	 * @param array<string, string> $headers beside those that all calls have.
	 * @param string                $body    ready to be sent.
	 * @return array<string, mixed>
	 * @throws ServerError When the answer is no, or none.
	 */
	private function send( string $method, string $url, array $headers, string $body = '' ): array {
		$answer = wp_remote_request(
			$url,
			array(
				'method'              => $method,
				'headers'             => $headers + array( 'Accept' => 'application/json' ),
				'body'                => '' === $body ? null : $body,
				'timeout'             => $this->timeout_s,
				'redirection'         => 0,
				'limit_response_size' => self::MAX_ANSWER,
				// WordPress would name the site and its own version.
				'user-agent'          => 'Bitcache-WordPress/' . BITCACHE_VERSION,
			)
		);
		if ( is_wp_error( $answer ) ) {
			throw new ServerError( 'no_answer', $answer->get_error_message() );
		}
		$this->server_now = (int) strtotime( (string) wp_remote_retrieve_header( $answer, 'date' ) );

		$status = (int) wp_remote_retrieve_response_code( $answer );
		$found  = json_decode( wp_remote_retrieve_body( $answer ), true );
		if ( $status >= 200 && $status < 300 && is_array( $found ) ) {
			return $found;
		}
		throw self::refusal( $status, is_array( $found ) ? $found : array(), (string) wp_remote_retrieve_header( $answer, 'retry-after' ) );
	}

	/**
	 * Return the error of an answer that is not a yes.
	 *
	 * @param int                  $status      of HTTP.
	 * @param array<string, mixed> $found       the answer, decoded.
	 * @param string               $retry_after the header.
	 */
	private static function refusal( int $status, array $found, string $retry_after ): ServerError {
		// RFC 9457 as the API has it, or RFC 6749 as the token endpoint has it.
		$code   = $found['code'] ?? $found['error'] ?? ( $status >= 500 ? 'no_answer' : 'no_bitcache' );
		$detail = $found['detail'] ?? $found['error_description'] ?? '';
		return new ServerError(
			is_string( $code ) ? sanitize_key( $code ) : 'no_bitcache',
			is_string( $detail ) ? mb_substr( sanitize_text_field( $detail ), 0, 300 ) : '',
			$status,
			preg_match( '/\A\d{1,5}\z/', $retry_after ) ? (int) $retry_after : 0
		);
	}
}
