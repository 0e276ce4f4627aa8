<?php
/**
 * What the server is told of a post.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

use Bitcache\Content\Document;
use Bitcache\Content\Price;
use Bitcache\Files\Priced;

/**
 * From a post to the bodies of POST /v1/items.
 *
 * The items are held by the site: `open_url` is where a reader without JavaScript is sent with
 * the grant. The content itself never leaves the site.
 */
final class Offers {

	/** Longest title that the server takes, in characters. */
	const MAX_TITLE = 300;

	/**
	 * Return what a post offers to everybody now; nothing for a draft or anything not public.
	 *
	 * @param int $post_id of a post or an attachment.
	 * @return array<string, array<string, mixed>> bodies by the parts' keys.
	 */
	public static function of( int $post_id ): array {
		$post   = get_post( $post_id );
		$offers = array();
		if ( ! $post || 'publish' !== get_post_status( $post ) ) {
			return $offers;
		}
		foreach ( self::prices( $post ) as $key => $price ) {
			$offers[ $key ] = self::body( $post, (string) $key, $price );
		}
		return $offers;
	}

	/**
	 * Return the prices of a post's parts.
	 *
	 * @param \WP_Post $post of which.
	 * @return array<string, Price>
	 */
	private static function prices( \WP_Post $post ): array {
		if ( 'attachment' === $post->post_type ) {
			return array_filter( array( Priced::KEY => Priced::price( $post->ID ) ) );
		}
		$prices = array();
		foreach ( Document::of( $post )->parts() as $part ) {
			$prices[ $part->key ] = $part->price;
		}
		return array_filter( $prices );
	}

	/**
	 * Return the body of a call.
	 *
	 * @param \WP_Post $post  that has the part.
	 * @param string   $key   of the part.
	 * @param Price    $price of the part.
	 * @return array<string, mixed>
	 */
	private static function body( \WP_Post $post, string $key, Price $price ): array {
		$title = Items::title( $post );
		if ( 'post' !== $key && Priced::KEY !== $key ) {
			/* translators: 1: the title of a post, 2: the name of a part of it */
			$title = sprintf( __( '%1$s (%2$s)', 'bitcache' ), $title, $key );
		}
		$body = array(
			'title'       => mb_substr( $title, 0, self::MAX_TITLE ),
			'price'       => $price->amount,
			'currency'    => $price->currency,
			'external_id' => self::external_id( $post->ID, $key ),
			'open_url'    => self::open_url( $post->ID ),
			'archived'    => false,
		);
		$url  = (string) get_permalink( $post );
		// A plugin may lead a post's address elsewhere; the server links to the site's own pages only.
		if ( Discovery::origin_of( $url ) === Health::origin() ) {
			$body['url'] = $url;
		}
		return $body;
	}

	/**
	 * Return what this site calls a part, on the server.
	 *
	 * @param int    $post_id of the post.
	 * @param string $key     of the part.
	 */
	public static function external_id( int $post_id, string $key ): string {
		return sprintf( 'wp:%d:%d:%s', get_current_blog_id(), $post_id, $key );
	}

	/**
	 * Return where the server sends a reader with a grant: the reading page.
	 *
	 * @param int $post_id of the post.
	 */
	private static function open_url( int $post_id ): string {
		return add_query_arg( 'bitcache_read', $post_id, home_url( '/' ) );
	}
}
