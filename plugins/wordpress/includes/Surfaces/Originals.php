<?php
/**
 * Keeps articles whole when other code writes posts.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Document;
use Bitcache\Content\Glance;
use Bitcache\Content\Parser;

/**
 * Code that runs in a page or in a cron job reads posts without what costs, and some of it saves
 * what it has read. Such a text never takes the place of the article that it was made from.
 */
final class Originals {

	/** How every place of a wall begins. */
	private const PLACE = '<!-- bitcache:wall ';

	/**
	 * Put the stored text back where a shortened one is about to be written over it.
	 *
	 * @param array $data    what is about to be written, slashed.
	 * @param array $postarr what the caller gave.
	 * @return array
	 */
	public static function keep( $data, $postarr ) {
		if ( ! isset( $data['post_content'] ) || ! is_string( $data['post_content'] ) ) {
			return $data;
		}
		$id     = isset( $postarr['ID'] ) ? (int) $postarr['ID'] : 0;
		$stored = $id > 0 ? self::stored( $id ) : null;
		$copied = ! empty( $postarr['bitcache_teaser'] );
		if ( null !== $stored && self::is_shortened( wp_unslash( $data['post_content'] ), $copied, $stored ) ) {
			$data['post_content']          = wp_slash( $stored->post_content );
			$data['post_content_filtered'] = wp_slash( $stored->post_content_filtered );
		}
		if ( null !== $stored && $copied && isset( $data['post_excerpt'] ) && '' === $data['post_excerpt'] ) {
			$data['post_excerpt'] = wp_slash( $stored->post_excerpt );
		}
		// Nobody writes a place by hand; in a new post it would hide nothing.
		$data['post_content'] = (string) preg_replace( Document::PLACEHOLDER, '', $data['post_content'] );
		return $data;
	}

	/**
	 * Refuse a statement that writes a shortened text into the table of posts, past `wp_update_post`.
	 *
	 * @param string|mixed $sql about to be sent.
	 */
	public static function refuse( $sql ) {
		if ( ! is_string( $sql ) || false === strpos( $sql, self::PLACE ) ) {
			return $sql;
		}
		global $wpdb;
		return preg_match( '/\A\s*(?:UPDATE|REPLACE)\b[^\'"]*\b' . preg_quote( $wpdb->posts, '/' ) . '\b/i', $sql ) ? '' : $sql;
	}

	/**
	 * Say whether a text was made from a post without what costs in it.
	 *
	 * @param string   $text   about to be written.
	 * @param bool     $copied whether it comes from an object that this plugin gave out.
	 * @param \WP_Post $stored the post as it is stored.
	 */
	private static function is_shortened( string $text, bool $copied, \WP_Post $stored ): bool {
		if ( false !== strpos( $text, self::PLACE ) || ( $copied && '' === trim( $text ) ) ) {
			return true;
		}
		if ( Gate::keeps( $stored ) || Parser::has_markers( $text ) ) {
			return false;
		}
		$document = Strip::locked( $stored );
		return null !== $document && self::is_rest_of( $text, $document, $stored->post_content );
	}

	/**
	 * Say whether a text has lines of the teaser, none of what costs, and nothing in its place.
	 *
	 * Half as long as what is missing counts as something in its place: then it was rewritten.
	 *
	 * @param string   $text     about to be written.
	 * @param Document $document of the post.
	 * @param string   $whole    the post's stored text.
	 */
	private static function is_rest_of( string $text, Document $document, string $whole ): bool {
		$public = $document->public_text();
		foreach ( Strip::lines_without( $whole, $public ) as $line ) {
			if ( false !== strpos( $text, $line ) ) {
				return false;
			}
		}
		$known = strlen( wp_strip_all_tags( $public ) );
		$paid  = strlen( wp_strip_all_tags( $whole ) ) - $known;
		if ( strlen( wp_strip_all_tags( $text ) ) > $known + $paid / 2 ) {
			return false;
		}
		foreach ( Strip::lines_without( $public, '' ) as $line ) {
			if ( false !== strpos( $text, $line ) ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Return a post as it is stored; null if there is none, or if a place of a wall is in it.
	 *
	 * @param int $id of the post.
	 */
	private static function stored( int $id ): ?\WP_Post {
		$post = \WP_Post::get_instance( $id );
		if ( $post && ( Glance::is_copy( $post ) || false !== strpos( $post->post_content, self::PLACE ) ) ) {
			// Another plugin has cached what it was given.
			wp_cache_delete( $id, 'posts' );
			$post = \WP_Post::get_instance( $id );
		}
		return $post && false === strpos( $post->post_content, self::PLACE ) ? $post : null;
	}
}
