<?php
/**
 * The Bitcache server said no, or said nothing.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

/**
 * What went wrong with a call. `code_name` is a code of the API and never changes its meaning.
 *
 * Codes of our own: `no_answer` (nothing came), `no_bitcache` (an answer that no Bitcache server
 * gives), `not_connected` (there is no connection to call with).
 */
final class ServerError extends \Exception {

	/** @var string */
	public $code_name;

	/** @var int HTTP status; 0 where nothing came. */
	public $status;

	/** @var int Seconds to wait before the next try; 0 where the server named none. */
	public $retry_after_s;

	/**
	 * Say what went wrong.
	 *
	 * @param string $code_name     a code of the API, or of ours.
	 * @param string $detail        the server's own words, in English; never a secret.
	 * @param int    $status        HTTP status.
	 * @param int    $retry_after_s seconds.
	 */
	public function __construct( string $code_name, string $detail = '', int $status = 0, int $retry_after_s = 0 ) {
		parent::__construct( $detail );
		$this->code_name     = $code_name;
		$this->status        = $status;
		$this->retry_after_s = $retry_after_s;
	}

	/** Say whether the same call may go well later, without anybody doing something. */
	public function is_passing(): bool {
		return 'no_answer' === $this->code_name || 429 === $this->status || $this->status >= 500;
	}

	/** Say whether the server does not know our secret any more. */
	public function is_about_secret(): bool {
		return in_array( $this->code_name, array( 'bad_secret', 'missing_secret', 'not_connected', 'scope_missing' ), true );
	}

	/** Return what happened and what to do, in plain words, as text (not HTML). */
	public function words(): string {
		return self::words_of( $this->code_name, $this->getMessage() );
	}

	/**
	 * Return the words for a code that was stored.
	 *
	 * @param string $code_name a code of the API, or of ours.
	 * @param string $detail    the server's own words.
	 */
	public static function words_of( string $code_name, string $detail ): string {
		switch ( $code_name ) {
			case 'no_answer':
				return __( 'The Bitcache server does not answer. It will be tried again by itself.', 'bitcache' );
			case 'no_bitcache':
				return __( 'No Bitcache server answers at this address. Check the address.', 'bitcache' );
			case 'not_connected':
				return __( 'This site is not connected to a Bitcache server yet.', 'bitcache' );
			case 'bad_secret':
			case 'missing_secret':
				return __( 'The server does not accept this site’s secret any more. Connect again.', 'bitcache' );
			case 'scope_missing':
				return __( 'The key of this site may not do this. Connect again, or use the site’s own secret.', 'bitcache' );
			case 'rate_limited':
				return __( 'The server asks for a pause. It will be tried again by itself.', 'bitcache' );
			case 'invalid_price':
				return __( 'The server does not take this price. Choose another one.', 'bitcache' );
			case 'unknown_currency':
				return __( 'The server does not know this currency. Choose another one.', 'bitcache' );
			case 'rate_unavailable':
				return __( 'The server has no exchange rate for this currency right now. It will be tried again by itself.', 'bitcache' );
		}
		if ( '' === $detail ) {
			return __( 'The server could not do it. It will be tried again by itself.', 'bitcache' );
		}
		/* translators: %s: what the server said, in English. */
		return sprintf( __( 'The server says: %s', 'bitcache' ), $detail );
	}
}
