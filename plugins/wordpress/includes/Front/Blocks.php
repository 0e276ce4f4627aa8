<?php
/**
 * Our blocks and shortcodes on the server.
 *
 * @package Bitcache
 */

namespace Bitcache\Front;

use Bitcache\Content\Document;
use Bitcache\Content\Part;

/**
 * They show nothing of what they hold, whoever renders them.
 *
 * Articles come here with placeholders already in the place of what costs, or with our markers
 * taken out where they are free. What still arrives as a block or a shortcode was rendered past
 * all that, from a template, a widget or another plugin: there is a wall, if the current post has
 * one, or nothing.
 */
final class Blocks {

	/**
	 * Return the wall in the place of a wrap or a divider that was rendered while WordPress did not
	 * know it: pages make our blocks known when they read one (`BlockParser`).
	 *
	 * @param string               $html  what WordPress made of it.
	 * @param array<string, mixed> $block as it was read.
	 */
	public static function unknown( $html, $block ): string {
		$name = (string) ( $block['blockName'] ?? '' );
		if ( \WP_Block_Type_Registry::get_instance()->is_registered( $name ) ) {
			return (string) $html;
		}
		return 'bitcache/paid' === $name ? self::paid( $block['attrs'] ?? array() ) : self::paywall();
	}

	/**
	 * Return what stands in the place of a wrap.
	 *
	 * @param mixed $atts attributes of the block or shortcode.
	 */
	public static function paid( $atts = array() ): string {
		$key = Part::clean_key( is_array( $atts ) ? ( $atts['part'] ?? '' ) : '' );
		return self::wall( '' === $key ? Part::POST : $key );
	}

	/** Return what stands in the place of a divider. */
	public static function paywall(): string {
		return self::wall( Part::POST );
	}

	/**
	 * Return the wall of a part of the current post, or nothing.
	 *
	 * @param string $key of the part.
	 */
	private static function wall( string $key ): string {
		$post = get_post();
		if ( ! $post instanceof \WP_Post || is_feed() || is_admin() ) {
			return '';
		}
		$document = Document::of( $post );
		$part     = $document->is_locked() ? ( $document->part( $key ) ?? $document->part( Part::POST ) ) : null;
		return $part ? Wall::place( $post, $part->key, 1 ) : '';
	}
}
