<?php
/**
 * What an editor is at and has not published yet.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Document;
use Bitcache\Content\Glance;

/**
 * WordPress reads the text for a preview by a query, whose answer has no paid part any more; so it is
 * put back, and cut like that of any other post.
 */
final class Preview {

	/**
	 * Give previewed posts the text that their editor is at.
	 *
	 * @param \WP_Post[] $posts what the query of a preview found.
	 */
	public static function restore( array $posts ): void {
		foreach ( $posts as $post ) {
			if ( $post instanceof \WP_Post && ! Glance::is_copy( $post ) && preg_match( Document::PLACEHOLDER, $post->post_content ) ) {
				$post->post_content = self::text( $post );
			}
		}
	}

	/**
	 * Return a post as its preview shows it, for somebody who may edit it; else the post itself.
	 *
	 * @param \WP_Post      $post as it is stored.
	 * @param \WP_User|null $user who asks.
	 */
	public static function of( \WP_Post $post, ?\WP_User $user ): \WP_Post {
		if ( ! $user || ! user_can( $user, 'edit_post', $post->ID ) ) {
			return $post;
		}
		$copy               = clone $post;
		$copy->post_content = self::text( $post );
		return $copy;
	}

	/** Return the text of the last autosave of a post, or its own if there is none. */
	private static function text( \WP_Post $post ): string {
		$draft = wp_get_post_autosave( $post->ID );
		return Strip::whole( $draft instanceof \WP_Post ? $draft : $post );
	}
}
