<?php
/**
 * Withholds paid text in blocks that read posts by themselves.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

/**
 * Blocks that take text from the database past every filter: lists of posts, pictures.
 */
final class Blocks {

	/** @var int[] how many copies had been given out when each list of posts began */
	private static $lists = array();

	/**
	 * Note how many copies had been given out when a list of posts begins.
	 *
	 * @param string|null $html  null to go on.
	 * @param array       $block the parsed block.
	 */
	public static function before( $html, $block ) {
		if ( isset( $block['blockName'] ) && 'core/latest-posts' === $block['blockName'] ) {
			self::$lists[] = Strip::count();
		}
		return $html;
	}

	/**
	 * Show a list of whole posts as excerpts if one of them costs: newer versions read the text raw.
	 *
	 * @param string $html  the list.
	 * @param array  $block the parsed block.
	 */
	public static function latest_posts( $html, $block ) {
		$before = (int) array_pop( self::$lists );
		$mode   = isset( $block['attrs']['displayPostContentRadio'] ) ? $block['attrs']['displayPostContentRadio'] : '';
		if ( 'full_post' !== $mode || Strip::count() === $before ) {
			return $html;
		}
		$block['attrs']['displayPostContentRadio'] = 'excerpt';
		return render_block( $block );
	}

	/**
	 * Drop a picture that a theme took from the text if it is from the paid part of it.
	 *
	 * @param string         $html     the block's markup.
	 * @param array          $block    the parsed block.
	 * @param \WP_Block|null $instance the block with its context.
	 */
	public static function first_image( $html, $block, $instance = null ) {
		if ( empty( $block['attrs']['useFirstImageFromPost'] ) ) {
			return $html;
		}
		$id       = isset( $instance->context['postId'] ) ? (int) $instance->context['postId'] : 0;
		$post     = get_post( $id );
		$document = $post instanceof \WP_Post ? Strip::locked( $post ) : null;
		if ( null === $document || has_post_thumbnail( $post ) ) {
			return $html;
		}
		if ( ! preg_match( '/<img[^>]+src="([^"]+)"/', (string) $html, $found ) ) {
			return $html;
		}
		$source = html_entity_decode( $found[1], ENT_QUOTES );
		return false !== strpos( html_entity_decode( $document->public_text(), ENT_QUOTES ), $source ) ? $html : '';
	}
}
