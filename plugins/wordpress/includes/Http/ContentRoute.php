<?php
/**
 * The addresses that give out paid parts.
 *
 * @package Bitcache
 */

namespace Bitcache\Http;

use Bitcache\Access\Reader;

/**
 * `POST bitcache/v1/content` and `POST bitcache/v1/item` of the REST API, and the same at
 * `POST /?bitcache_content=1` and `=item`, which work where a plugin closes the REST API to
 * strangers. Pages name the second.
 */
final class ContentRoute {

	const SPACE    = 'bitcache/v1';
	const QUERY    = 'bitcache_content';
	const MAX_BODY = 16384;

	/** Attach every hook. */
	public function register(): void {
		add_action( 'rest_api_init', array( $this, 'routes' ) );
		add_filter( 'rest_pre_serve_request', array( $this, 'headers' ), PHP_INT_MAX, 3 );
		add_action( 'parse_request', array( $this, 'plain' ), 0 );
		add_action( 'set_logged_in_cookie', array( Reader::class, 'hint' ), 10, 0 );
		add_action( 'clear_auth_cookie', array( Reader::class, 'forget_hint' ), 10, 0 );
	}

	/**
	 * Return the address that the widget asks.
	 *
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 * @param int    $n       the stretch that stands where the widget is.
	 */
	public static function url( int $post_id, string $key, int $n ): string {
		return home_url( '/?' . self::QUERY . '=1&post=' . $post_id . '&part=' . $key . ( $n > 1 ? '&n=' . $n : '' ) . ( is_preview() ? '&draft=1' : '' ) );
	}

	/**
	 * Return the address that makes an item.
	 *
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 */
	public static function make_url( int $post_id, string $key ): string {
		return home_url( '/?' . self::QUERY . '=item&post=' . $post_id . '&part=' . $key );
	}

	/** Add the routes to the REST API. */
	public function routes(): void {
		foreach ( array( 'content', 'item' ) as $name ) {
			register_rest_route(
				self::SPACE,
				'/' . $name,
				array(
					'methods'             => 'POST',
					'callback'            => array( $this, 'rest_' . $name ),
					// Who may read what is decided for each part.
					'permission_callback' => '__return_true',
					'show_in_index'       => false,
				)
			);
		}
	}

	/**
	 * Answer over the REST API.
	 *
	 * @param \WP_REST_Request $request with `post`, `part` and `grant`.
	 */
	public function rest_content( \WP_REST_Request $request ): \WP_REST_Response {
		if ( ! self::is_post() ) {
			return new \WP_REST_Response( array( 'code' => 'method_not_allowed' ), 405 );
		}
		list( $status, $body ) = self::read( self::asked( $request->get_query_params(), $request->get_json_params() ) );
		return new \WP_REST_Response( $body, $status );
	}

	/**
	 * Answer over the REST API.
	 *
	 * @param \WP_REST_Request $request with `post` and `part`.
	 */
	public function rest_item( \WP_REST_Request $request ): \WP_REST_Response {
		if ( ! self::is_post() ) {
			return new \WP_REST_Response( array( 'code' => 'method_not_allowed' ), 405 );
		}
		$asked                 = self::asked( $request->get_query_params(), $request->get_json_params() );
		list( $status, $body ) = Contents::make( $asked['post'], $asked['part'] );
		return new \WP_REST_Response( $body, $status );
	}

	/**
	 * Take the headers back that WordPress has sent for other sites and for caches.
	 *
	 * @param bool              $served  whether somebody has answered.
	 * @param \WP_HTTP_Response $result  the answer.
	 * @param \WP_REST_Request  $request the request.
	 * @return bool the same.
	 */
	public function headers( $served, $result, $request ) {
		if ( preg_match( '#\A/' . self::SPACE . '/(?:content|item)\z#', (string) $request->get_route() ) ) {
			Origin::send_private_headers();
		}
		return $served;
	}

	/** Say whether it is a POST for caches, too: `?_method=POST` makes the REST API take a GET for one. */
	private static function is_post(): bool {
		return 'POST' === ( $_SERVER['REQUEST_METHOD'] ?? '' );
	}

	/** Answer without the REST API, and end the request. */
	public function plain(): void {
		$name = $_GET[ self::QUERY ] ?? null; // phpcs:ignore -- no form; the origin is checked.
		if ( '1' !== $name && 'item' !== $name ) {
			return;
		}
		Origin::send_private_headers();
		if ( ! self::is_post() ) {
			header( 'Allow: POST' );
			wp_send_json( array( 'code' => 'method_not_allowed' ), 405 );
		}
		$json  = json_decode( (string) file_get_contents( 'php://input', false, null, 0, self::MAX_BODY ), true, 8 );
		$asked = self::asked( wp_unslash( $_GET ), $json ); // phpcs:ignore -- no form; the origin is checked.
		ob_start();
		try {
			list( $status, $body ) = 'item' === $name
				? Contents::make( $asked['post'], $asked['part'] )
				: self::read( $asked );
		} finally {
			// What blocks and plugins print would break the answer.
			ob_end_clean();
		}
		wp_send_json( $body, $status );
	}

	/**
	 * Give out a part, or forget that it was bought.
	 *
	 * @param array{post: int, part: string, n: int, grant: string|null, forget: bool, draft: bool} $asked for.
	 * @return array{0: int, 1: array<string, mixed>} HTTP status and body.
	 */
	private static function read( array $asked ): array {
		return $asked['forget']
			? Contents::forget( $asked['post'], $asked['part'] )
			: Contents::read( $asked['post'], $asked['part'], $asked['n'], $asked['grant'], $asked['draft'] );
	}

	/**
	 * Return what is asked for; the address counts before the body.
	 *
	 * @param array<string, mixed> $query of the address.
	 * @param mixed                $json  the body, decoded.
	 * @return array{post: int, part: string, n: int, grant: string|null, forget: bool, draft: bool}
	 */
	private static function asked( array $query, $json ): array {
		$json = is_array( $json ) ? $json : array();
		$all  = $query + $json;
		$text = static function ( string $name ) use ( $all ): string {
			return isset( $all[ $name ] ) && is_scalar( $all[ $name ] ) ? (string) $all[ $name ] : '';
		};
		return array(
			'post'   => preg_match( '/\A\d{1,18}\z/', $text( 'post' ) ) ? (int) $text( 'post' ) : 0,
			'part'   => preg_match( '/\A[a-z0-9-]{1,32}\z/', $text( 'part' ) ) ? $text( 'part' ) : 'post',
			'n'      => max( 1, min( 9999, (int) $text( 'n' ) ) ),
			// Never from the address: addresses are written to logs.
			'grant'  => isset( $json['grant'] ) && is_string( $json['grant'] ) ? $json['grant'] : null,
			'forget' => true === ( $json['forget'] ?? null ),
			'draft'  => '1' === $text( 'draft' ),
		);
	}
}
