<?php
/**
 * Other plugins that read posts past WordPress' own filters.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

/**
 * Descriptions of SEO plugins, indexes of search plugins, images in their sitemaps.
 */
final class OtherPlugins {

	/**
	 * Refuse a description that was made from the paid part.
	 *
	 * @param string|mixed $text the description.
	 */
	public static function description( $text ) {
		$post = get_post();
		return is_string( $text ) && $post instanceof \WP_Post ? Content::plain( $text, $post, 25 ) : $text;
	}

	/**
	 * The same for a list of tags.
	 *
	 * @param array|mixed $tags names and values.
	 */
	public static function tags( $tags ) {
		foreach ( array( 'og:description', 'twitter:description' ) as $name ) {
			if ( is_array( $tags ) && isset( $tags[ $name ] ) ) {
				$tags[ $name ] = self::description( $tags[ $name ] );
			}
		}
		return $tags;
	}

	/**
	 * Give a search plugin the public text.
	 *
	 * @param string             $text what it would index.
	 * @param \WP_Post|int|mixed $post the post.
	 */
	public static function index( $text, $post = null ) {
		$post     = get_post( $post );
		$document = $post instanceof \WP_Post ? Strip::locked( $post ) : null;
		return null === $document ? $text : $document->public_text();
	}

	/**
	 * Give a search server the public text.
	 *
	 * @param array|mixed $fields  what would be sent.
	 * @param int         $post_id the post.
	 */
	public static function sync( $fields, $post_id = 0 ) {
		$post     = get_post( (int) $post_id );
		$document = $post instanceof \WP_Post ? Strip::locked( $post ) : null;
		if ( null === $document || ! is_array( $fields ) ) {
			return $fields;
		}
		foreach ( array( 'post_content', 'post_content_plain', 'post_content_filtered' ) as $key ) {
			if ( isset( $fields[ $key ] ) ) {
				$fields[ $key ] = $document->public_text();
			}
		}
		return $fields;
	}

	/**
	 * Keep pictures of the paid part out of a sitemap.
	 *
	 * @param array|mixed $images  lists with the key `src`.
	 * @param int         $post_id the post.
	 */
	public static function images( $images, $post_id = 0 ) {
		$post     = get_post( (int) $post_id );
		$document = $post instanceof \WP_Post ? Strip::locked( $post ) : null;
		if ( null === $document || ! is_array( $images ) ) {
			return $images;
		}
		$public = $document->public_text() . ' ' . get_the_post_thumbnail_url( $post, 'full' );
		$kept   = array();
		foreach ( $images as $image ) {
			if ( isset( $image['src'] ) && false !== strpos( $public, (string) $image['src'] ) ) {
				$kept[] = $image;
			}
		}
		return $kept;
	}
}
