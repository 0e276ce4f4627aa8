<?php
/**
 * Search engines that may read what costs, if the owner of the site wants that.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Document;
use Bitcache\Settings;

/**
 * Knows a crawler by its address: the name that belongs to it, and that name's address again.
 *
 * Names are looked up by the cron, never while a page renders: the first visit of an address gets the
 * teaser, later ones the article. Off by default.
 */
final class Crawlers {

	/** What a crawler calls itself, and the domains that its addresses have. */
	private const KNOWN = array(
		'googlebot'   => array( '.googlebot.com', '.google.com' ),
		'bingbot'     => array( '.search.msn.com' ),
		'applebot'    => array( '.applebot.apple.com' ),
		'yandexbot'   => array( '.yandex.ru', '.yandex.net', '.yandex.com' ),
		'baiduspider' => array( '.baidu.com', '.baidu.jp' ),
	);

	private const CRON = 'bitcache_crawler';

	/** Addresses that may wait to be looked up at the same time. */
	private const WAITING = 50;

	/** @var bool|null whether this visitor is welcome; null if not known yet */
	private $welcome = null;

	/** @var bool whether this visitor is welcome and the page goes into no cache */
	private $is_kept_out = false;

	/** Attach the hooks. On a page that is when the first post is met that costs. */
	public function register(): void {
		add_action( 'template_redirect', array( $this, 'no_store' ), PHP_INT_MIN );
		add_filter( 'the_content', array( $this, 'whole' ), PHP_INT_MIN + 1 );
		add_action( self::CRON, array( $this, 'look_up' ), 10, 2 );
	}

	/** Keep what a crawler gets out of every cache. */
	public function no_store(): void {
		if ( ! $this->is_welcome() ) {
			return;
		}
		if ( ! defined( 'DONOTCACHEPAGE' ) ) {
			define( 'DONOTCACHEPAGE', true );
		}
		nocache_headers();
		header( 'Cache-Control: private, no-store, max-age=0' );
		$this->is_kept_out = true;
	}

	/**
	 * Put the paid stretches back in their places, inside elements that the markup names.
	 *
	 * @param string $content the teaser.
	 */
	public function whole( $content ) {
		if ( ! is_string( $content ) || false === strpos( $content, '<!-- bitcache:wall ' ) || ! $this->is_kept_out ) {
			return $content;
		}
		$post = get_post();
		if ( ! $post instanceof \WP_Post || ! is_singular() || post_password_required( $post ) ) {
			return $content;
		}
		$parts = Document::of( $post )->parts();
		return (string) preg_replace_callback(
			Document::PLACEHOLDER,
			static function ( array $found ) use ( $parts ): string {
				$part = isset( $parts[ $found[1] ] ) ? $parts[ $found[1] ] : null;
				$text = $part && isset( $part->stretches[ (int) $found[2] ] ) ? $part->stretches[ (int) $found[2] ] : '';
				return '<div class="' . Discovery::WALL . "\">\n\n" . $text . "\n\n</div>";
			},
			$content
		);
	}

	/** Say whether the visitor of a single page is a crawler that the owner lets in. */
	public function is_welcome(): bool {
		if ( null !== $this->welcome ) {
			return $this->welcome;
		}
		$settings = Settings::get();
		if ( empty( $settings['crawlers'] ) || is_admin() || Gate::is_api() || ! did_action( 'wp' ) ) {
			return false;
		}
		$this->welcome = is_singular() && ! is_feed() && ! is_embed() && ! is_preview() && $this->is_verified();
		return $this->welcome;
	}

	/** Say whether the address of this visit was found to be a crawler's; ask the cron if not known. */
	private function is_verified(): bool {
		$agent = isset( $_SERVER['HTTP_USER_AGENT'] ) ? strtolower( sanitize_text_field( wp_unslash( $_SERVER['HTTP_USER_AGENT'] ) ) ) : '';
		$name  = '';
		foreach ( array_keys( self::KNOWN ) as $known ) {
			if ( false !== strpos( $agent, $known ) ) {
				$name = $known;
			}
		}
		$address = isset( $_SERVER['REMOTE_ADDR'] ) ? sanitize_text_field( wp_unslash( $_SERVER['REMOTE_ADDR'] ) ) : '';
		/**
		 * Filters the address of a visitor who says to be a crawler, for sites behind a proxy.
		 *
		 * @param string $address as the web server has it.
		 */
		$address = (string) apply_filters( 'bitcache_client_address', $address );
		if ( '' === $name || ! filter_var( $address, FILTER_VALIDATE_IP ) ) {
			return false;
		}
		$found = get_transient( self::key( $name, $address ) );
		if ( false === $found ) {
			$this->ask( $name, $address );
		}
		return 'yes' === $found;
	}

	/** Let the cron look up an address, unless too many wait already. */
	private function ask( string $name, string $address ): void {
		$waiting = (int) get_transient( 'bitcache_crawlers_waiting' );
		if ( $waiting >= self::WAITING ) {
			return;
		}
		set_transient( 'bitcache_crawlers_waiting', $waiting + 1, 10 * MINUTE_IN_SECONDS );
		set_transient( self::key( $name, $address ), 'waiting', 10 * MINUTE_IN_SECONDS );
		wp_schedule_single_event( time(), self::CRON, array( $name, $address ) );
	}

	/**
	 * Look up an address and keep the answer for a day.
	 *
	 * @param string $name    what the visitor called itself.
	 * @param string $address its address.
	 */
	public function look_up( $name, $address ): void {
		$good = isset( self::KNOWN[ $name ] ) && self::belongs( (string) $address, self::KNOWN[ $name ] );
		set_transient( self::key( (string) $name, (string) $address ), $good ? 'yes' : 'no', DAY_IN_SECONDS );
		$waiting = (int) get_transient( 'bitcache_crawlers_waiting' );
		set_transient( 'bitcache_crawlers_waiting', max( 0, $waiting - 1 ), 10 * MINUTE_IN_SECONDS );
	}

	/**
	 * Say whether an address has a name in one of the domains, and that name has the address.
	 *
	 * @param string   $address an IPv4 or IPv6 address.
	 * @param string[] $domains endings of names.
	 */
	private static function belongs( string $address, array $domains ): bool {
		/**
		 * Filters how names are looked up; a callable that gives a name for an address.
		 *
		 * @param callable $reverse by default the system's.
		 */
		$reverse = apply_filters( 'bitcache_reverse_dns', 'gethostbyaddr' );
		$host    = strtolower( rtrim( (string) $reverse( $address ), '.' ) );
		foreach ( $domains as $domain ) {
			if ( substr( $host, -strlen( $domain ) ) === $domain ) {
				return in_array( inet_pton( $address ), self::addresses( $host ), true );
			}
		}
		return false;
	}

	/**
	 * Return the addresses of a name, as bytes.
	 *
	 * @return string[]
	 */
	private static function addresses( string $host ): array {
		/**
		 * Filters how addresses are looked up; a callable that gives records for a name.
		 *
		 * @param callable $forward by default the system's.
		 */
		$forward = apply_filters( 'bitcache_forward_dns', 'dns_get_record' );
		$records = $forward( $host, DNS_A + DNS_AAAA );
		$found   = array();
		foreach ( is_array( $records ) ? $records : array() as $record ) {
			$text = isset( $record['ip'] ) ? $record['ip'] : ( isset( $record['ipv6'] ) ? $record['ipv6'] : '' );
			if ( '' !== $text && filter_var( $text, FILTER_VALIDATE_IP ) ) {
				$found[] = inet_pton( $text );
			}
		}
		return $found;
	}

	/** Return the name under which the answer for an address is kept. */
	private static function key( string $name, string $address ): string {
		return 'bitcache_bot_' . md5( $name . ' ' . $address );
	}
}
