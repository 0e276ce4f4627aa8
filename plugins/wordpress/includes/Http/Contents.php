<?php
/**
 * Gives out paid parts.
 *
 * @package Bitcache
 */

namespace Bitcache\Http;

use Bitcache\Access\Access;
use Bitcache\Access\Purchases;
use Bitcache\Access\Reader;
use Bitcache\Access\Verdict;
use Bitcache\Access\Visitor;
use Bitcache\Content\Document;
use Bitcache\Front\Renderer;
use Bitcache\Server\Health;
use Bitcache\Server\Items;
use Bitcache\Surfaces\Preview;

/**
 * What the two addresses of the content route have in common.
 */
final class Contents {

	/** No grant is longer. */
	const MAX_GRANT = 4096;

	/**
	 * Answer a request for a part.
	 *
	 * @param int         $post_id the post.
	 * @param string      $key     the part.
	 * @param int         $n       the stretch that stands where the widget is.
	 * @param string|null $grant   that was shown.
	 * @param bool        $draft   whether who may edit the post sees a preview.
	 * @return array{0: int, 1: array<string, mixed>} HTTP status and body.
	 */
	public static function read( int $post_id, string $key, int $n, ?string $grant, bool $draft = false ): array {
		if ( ! Origin::is_ours() ) {
			return self::no( 403, 'cross_origin', __( 'Only pages of this site can ask for this.', 'bitcache' ) );
		}
		$visitor = Visitor::current( null !== $grant && strlen( $grant ) <= self::MAX_GRANT ? $grant : null );
		$post    = $post_id > 0 ? get_post( $post_id ) : null;
		$post    = $post && $draft ? Preview::of( $post, $visitor->user ) : $post;
		$part    = $post ? Document::of( $post )->part( $key ) : null;
		if ( ! $post || ! $part || 'revision' === $post->post_type ) {
			return self::unknown();
		}
		$visitor->is_counted = true;
		$verdict             = Access::may_read( $post, $key, $visitor );
		if ( Verdict::NOT_PUBLIC === $verdict->reason ) {
			return self::unknown();
		}
		if ( ! $verdict->allowed ) {
			return '' === $verdict->grant_code
				? self::no( 401, 'locked', __( 'This part has to be bought first.', 'bitcache' ) )
				: self::no( 401, $verdict->grant_code, __( 'This grant does not open this part any more.', 'bitcache' ) );
		}
		if ( Verdict::BOUGHT === $verdict->reason ) {
			// The cookie lasts as long as somebody reads.
			$visitor->reader->keep();
		}
		return array( 200, Renderer::answer( $post, $part, $n ) + array( 'item' => Items::item_id( $post->ID, $key ) ) );
	}

	/**
	 * Forget that a reader has bought a part, because they have undone it.
	 *
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 * @return array{0: int, 1: array<string, mixed>} HTTP status and body.
	 */
	public static function forget( int $post_id, string $key ): array {
		if ( ! Origin::is_ours() ) {
			return self::no( 403, 'cross_origin', __( 'Only pages of this site can ask for this.', 'bitcache' ) );
		}
		Purchases::forget( Reader::current(), $post_id, $key );
		return array( 200, array( 'forgotten' => true ) );
	}

	/**
	 * Answer a request to make an item that the server does not know yet.
	 *
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 * @return array{0: int, 1: array<string, mixed>} HTTP status and body.
	 */
	public static function make( int $post_id, string $key ): array {
		if ( ! Origin::is_ours() ) {
			return self::no( 403, 'cross_origin', __( 'Only pages of this site can ask for this.', 'bitcache' ) );
		}
		$post = $post_id > 0 ? get_post( $post_id ) : null;
		$part = $post && Access::is_public( $post ) ? Document::of( $post )->part( $key ) : null;
		if ( ! $part || null === $part->price ) {
			return self::unknown();
		}
		if ( null === Items::item_id( $post->ID, $key ) && ( Health::is_resting() || ! Turn::run( $post->ID, array( Items::class, 'sync' ) ) ) ) {
			return self::no( 503, 'busy', __( 'Not for sale yet. Please try again in a minute.', 'bitcache' ) );
		}
		$item = Items::item_id( $post->ID, $key );
		if ( null === $item ) {
			return self::no( 503, 'busy', __( 'Not for sale yet. Please try again in a minute.', 'bitcache' ) );
		}
		Turn::done( $post->ID );
		return array( 200, array( 'item' => $item ) );
	}

	/** @return array{0: int, 1: array<string, mixed>} One answer for all that is not for strangers. */
	private static function unknown(): array {
		return self::no( 404, 'unknown_post', __( 'There is nothing here to read.', 'bitcache' ) );
	}

	/**
	 * Return a no.
	 *
	 * @param int    $status of HTTP.
	 * @param string $code   that programs read.
	 * @param string $words  that people read.
	 * @return array{0: int, 1: array<string, mixed>}
	 */
	private static function no( int $status, string $code, string $words ): array {
		return array(
			$status,
			array(
				'code'    => $code,
				'message' => $words,
			),
		);
	}
}
