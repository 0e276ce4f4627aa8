<?php
/**
 * A reader, by the site's own cookie.
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

/**
 * The cookie is set by the site's server, so it outlives what browsers do to script storage. The
 * database knows only its hash.
 */
final class Reader {

	const COOKIE = 'bitcache_reader';

	/** Tells scripts, which cannot see the other cookie, that it is worth asking. */
	const HINT = 'bitcache_hint';

	/** The longest that browsers keep a cookie. */
	const DAYS = 400;

	/** @var Reader|null */
	private static $current = null;

	/** @var string|null 43 characters, or null for somebody new. */
	private $token;

	/** @var bool Whether the cookies are sent with a later answer. */
	private $is_deferred = false;

	/** @var bool Whether this answer has them already. */
	private $is_kept = false;

	/**
	 * Keep a cookie's value.
	 *
	 * @param string|null $token of the cookie; null for somebody new.
	 */
	public function __construct( ?string $token ) {
		$this->token = null !== $token && preg_match( '/\A[A-Za-z0-9_-]{43}\z/', $token ) ? $token : null;
	}

	/** Return who sent this request. */
	public static function current(): Reader {
		if ( null === self::$current ) {
			$cookie        = $_COOKIE[ self::COOKIE ] ?? null; // phpcs:ignore -- its form is checked.
			self::$current = new self( is_string( $cookie ) ? $cookie : null );
		}
		return self::$current;
	}

	/** Say whether the request brought a cookie of ours. */
	public function is_known(): bool {
		return null !== $this->token;
	}

	/** Return what the database knows the reader by (hex); "" for somebody new. */
	public function hash(): string {
		return null === $this->token ? '' : hash( 'sha256', 'bitcache.reader.v1:' . $this->token );
	}

	/** Give somebody new a name, and let the cookies last. Only before the answer's first byte. */
	public function keep(): void {
		if ( null === $this->token ) {
			$this->token = rtrim( strtr( base64_encode( random_bytes( 32 ) ), '+/', '-_' ), '=' );
		}
		if ( ! $this->is_deferred && ! $this->is_kept ) {
			$this->is_kept = true;
			self::send( self::COOKIE, $this->token, self::DAYS * DAY_IN_SECONDS, true );
			self::hint();
		}
	}

	/** Send no cookie with this answer, although `keep` is called. */
	public function defer(): void {
		$this->is_deferred = true;
	}

	/** Return the cookie's value; "" for somebody new. It is a secret of this reader. */
	public function token(): string {
		return (string) $this->token;
	}

	/** Tell the scripts of this site to ask before they offer anything. */
	public static function hint(): void {
		self::send( self::HINT, '1', self::DAYS * DAY_IN_SECONDS, false );
	}

	/** Take the hint back from somebody who has bought nothing. */
	public static function forget_hint(): void {
		if ( ! self::current()->is_known() ) {
			self::send( self::HINT, '', -DAY_IN_SECONDS, false );
		}
	}

	/**
	 * Send a cookie.
	 *
	 * @param string $name    of the cookie.
	 * @param string $value   of the cookie.
	 * @param int    $seconds that it lasts.
	 * @param bool   $hidden  from scripts.
	 */
	private static function send( string $name, string $value, int $seconds, bool $hidden ): void {
		if ( headers_sent() ) {
			return;
		}
		setcookie(
			$name,
			$value,
			array(
				'expires'  => time() + $seconds,
				'path'     => COOKIEPATH ? COOKIEPATH : '/',
				'domain'   => (string) COOKIE_DOMAIN,
				'secure'   => is_ssl(),
				'httponly' => $hidden,
				'samesite' => 'Lax',
			)
		);
	}
}
