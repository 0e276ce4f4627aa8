<?php
/**
 * Who asks.
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

/**
 * A reader by the site's own cookie, what they show, and the user they are logged in as.
 */
final class Visitor {

	/** @var Reader */
	public $reader;

	/** @var string|null A grant that was shown with this request. */
	public $grant;

	/** @var \WP_User|null */
	public $user;

	/** @var bool Whether they may be counted as one of the first readers, where those read free. */
	public $is_counted = false;

	/**
	 * Keep who asks.
	 *
	 * @param Reader        $reader the reader.
	 * @param string|null   $grant  that was shown.
	 * @param \WP_User|null $user   who is logged in.
	 */
	public function __construct( Reader $reader, ?string $grant = null, ?\WP_User $user = null ) {
		$this->reader = $reader;
		$this->grant  = $grant;
		$this->user   = $user;
	}

	/** Return somebody of whom nothing is known. */
	public static function stranger(): Visitor {
		return new self( new Reader( null ) );
	}

	/** Return what the database knows the reader by; "" for somebody new. */
	public function reader_hash(): string {
		return $this->reader->hash();
	}

	/**
	 * Return who sent this request.
	 *
	 * The log-in cookie counts without a nonce, so this is for reading only, and only where
	 * other sites cannot read the answer.
	 *
	 * @param string|null $grant that was shown.
	 */
	public static function current( ?string $grant = null ): Visitor {
		$id   = get_current_user_id();
		$id   = $id ? $id : (int) wp_validate_auth_cookie( '', 'logged_in' );
		$user = $id ? get_userdata( $id ) : false;
		return new self( Reader::current(), $grant, $user ? $user : null );
	}
}
