<?php
/**
 * Reading without scripts.
 *
 * @package Bitcache
 */

namespace Bitcache\Http;

use Bitcache\Access\Access;
use Bitcache\Access\Purchases;
use Bitcache\Access\Reader;
use Bitcache\Access\Visitor;
use Bitcache\Content\Document;

/**
 * `POST /?bitcache_read=<post>` shows the article in the theme with all that the visitor may read.
 * The grant comes as a field of the form by which the checkout page ends, or from the cookie.
 */
final class ReadingPage {

	const QUERY   = 'bitcache_read';
	const KEEP    = 'bitcache_keep';
	const KEEP_S  = 600;
	const ONE_DOT = 'R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7';

	/** @var array<int, array<string, bool>> Parts that this page shows, by post. */
	private static $opened = array();

	/** @var int Post that was asked for and stays closed; 0 for none. */
	private $closed = 0;

	/** @var string Address that hands the cookie over; "" if it is not needed. */
	private $keep_url = '';

	/** Attach every hook. */
	public function register(): void {
		add_action( 'parse_request', array( $this, 'read' ), 1 );
		add_action( 'parse_request', array( $this, 'hand_over' ), 1 );
	}

	/**
	 * Return the address of the reading page of a post.
	 *
	 * @param int $post_id the post.
	 */
	public static function url( int $post_id ): string {
		return home_url( '/?' . self::QUERY . '=' . $post_id );
	}

	/**
	 * Say whether this page shows a part to the visitor who asked for it.
	 *
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 */
	public static function shows( int $post_id, string $key ): bool {
		return isset( self::$opened[ $post_id ][ $key ] );
	}

	/**
	 * Turn the request into one for the article, with what was bought in it.
	 *
	 * @param \WP $wp the request.
	 */
	public function read( $wp ): void {
		$asked = $_GET[ self::QUERY ] ?? null; // phpcs:ignore -- no form of ours is needed to read.
		if ( ! is_string( $asked ) ) {
			return;
		}
		$post = preg_match( '/\A\d{1,18}\z/', $asked ) ? get_post( (int) $asked ) : null;
		Origin::send_private_headers();
		header( 'Referrer-Policy: same-origin' );
		if ( ! $post || ! Access::is_public( $post ) ) {
			$wp->query_vars = array( 'error' => '404' );
			return;
		}
		if ( 'POST' !== ( $_SERVER['REQUEST_METHOD'] ?? '' ) ) {
			wp_safe_redirect( (string) get_permalink( $post ), 302 );
			exit;
		}
		$this->open( $post );
		$wp->query_vars = self::query( $post );
		add_filter( 'wp_headers', array( $this, 'headers' ), PHP_INT_MAX );
		add_filter( 'the_content', array( $this, 'say' ), PHP_INT_MAX );
		add_action( 'wp_footer', array( $this, 'print_keep' ) );
	}

	/**
	 * Decide what is shown.
	 *
	 * @param \WP_Post $post the post.
	 */
	private function open( \WP_Post $post ): void {
		$grant = $_POST['grant'] ?? null; // phpcs:ignore -- the grant itself is the proof.
		$grant = is_string( $grant ) && strlen( $grant ) <= Contents::MAX_GRANT ? wp_unslash( $grant ) : null;
		$fresh = ! Reader::current()->is_known();
		$cross = ! Origin::is_ours();
		if ( $fresh && $cross ) {
			// The browser held the cookie back; a new one would take the place of a reader's own.
			Reader::current()->defer();
		}
		$visitor             = Visitor::current( $grant );
		$visitor->is_counted = ! $cross;
		foreach ( Document::of( $post )->parts() as $key => $part ) {
			if ( Access::may_read( $post, (string) $key, $visitor )->allowed ) {
				self::$opened[ $post->ID ][ $key ] = true;
			}
		}
		$this->closed = empty( self::$opened[ $post->ID ] ) ? $post->ID : 0;
		if ( $fresh && $cross && Reader::current()->is_known() ) {
			$name = bin2hex( random_bytes( 16 ) );
			set_transient( 'bitcache_keep_' . hash( 'sha256', $name ), Reader::current()->token(), self::KEEP_S );
			$this->keep_url = home_url( '/?' . self::KEEP . '=' . $name );
		}
	}

	/**
	 * Keep WordPress from saying anything else about caching.
	 *
	 * @param array<string, string> $headers that WordPress sends.
	 * @return array<string, string>
	 */
	public function headers( $headers ): array {
		$headers                  = (array) $headers;
		$headers['Cache-Control'] = 'private, no-store, max-age=0';
		unset( $headers['Last-Modified'], $headers['ETag'], $headers['Link'] );
		return $headers;
	}

	/**
	 * Say above the teaser why it is one.
	 *
	 * @param string $content of the post.
	 */
	public function say( $content ) {
		if ( 0 === $this->closed || get_the_ID() !== $this->closed || ! in_the_loop() || ! is_main_query() ) {
			return $content;
		}
		$this->closed = 0;
		return '<p class="bitcache-note" role="status">'
			. esc_html__( 'This browser has not bought this yet, or what was bought has been given back. Nothing was charged.', 'bitcache' )
			. '</p>' . $content;
	}

	/** Let the browser fetch the cookie in a request that brings its own. */
	public function print_keep(): void {
		if ( '' !== $this->keep_url ) {
			echo '<img src="' . esc_url( $this->keep_url ) . '" alt="" width="1" height="1" style="position:absolute" referrerpolicy="no-referrer">';
		}
	}

	/** Give a purchase to the reader's own cookie, or set the new one. Ends the request. */
	public function hand_over(): void {
		$name = $_GET[ self::KEEP ] ?? null; // phpcs:ignore -- a secret that is good once.
		if ( ! is_string( $name ) || ! preg_match( '/\A[0-9a-f]{32}\z/', $name ) ) {
			return;
		}
		Origin::send_private_headers();
		$stored = 'bitcache_keep_' . hash( 'sha256', $name );
		$token  = get_transient( $stored );
		delete_transient( $stored );
		if ( is_string( $token ) && Origin::is_ours() ) {
			$new = new Reader( $token );
			if ( Reader::current()->is_known() ) {
				Purchases::move( $new->hash(), Reader::current() );
				Reader::current()->keep();
			} else {
				$new->keep();
			}
		}
		header( 'Content-Type: image/gif' );
		echo base64_decode( self::ONE_DOT ); // nosemgrep: unescaped -- a constant.
		exit;
	}

	/**
	 * Return the query for a post.
	 *
	 * @param \WP_Post $post the post.
	 * @return array<string, mixed>
	 */
	private static function query( \WP_Post $post ): array {
		if ( 'page' === $post->post_type ) {
			return array( 'page_id' => $post->ID );
		}
		return 'attachment' === $post->post_type
			? array( 'attachment_id' => $post->ID )
			: array(
				'p'         => $post->ID,
				'post_type' => $post->post_type,
			);
	}
}
