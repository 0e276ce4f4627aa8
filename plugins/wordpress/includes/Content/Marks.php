<?php
/**
 * Finds our markers in blocks, and takes them out.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

/**
 * What the parser asks about a single block or a piece of HTML.
 */
final class Marks {

	/**
	 * Return the tags of a piece without attributes and text: it keeps the rest well-formed.
	 *
	 * @param string $html a piece between the inner blocks of a container.
	 */
	public static function skeleton( string $html ): string {
		preg_match_all( '/<(\/?)([a-z][\w-]*)[^>]*?(\/?)>/i', (string) preg_replace( '/<(script|style|textarea|title)\b.*?<\/\1\s*>|<!--.*?-->/is', '', $html ), $tags, PREG_SET_ORDER );
		$kept = '';
		foreach ( $tags as $tag ) {
			if ( '' === $tag[3] && ! preg_match( '/\A(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\z/i', $tag[2] ) ) {
				$kept .= '<' . $tag[1] . $tag[2] . '>';
			}
		}
		return $kept;
	}

	/**
	 * Take shortcodes of ours out of a text that is withheld as a whole.
	 *
	 * @param string $html a piece.
	 */
	public static function without_markers( string $html ): string {
		return Tokens::in( $html ) ? (string) preg_replace( '/\[\/?(?:bitcache_paywall|bitcache)(?![\w-])[^\]]*\]|<!--\s*wp:bitcache\/pa(?:ywall|id)(?![\w-]).*?-->/is', '', $html ) : $html;
	}

	/**
	 * Say whether there is a marker in a block or below it.
	 *
	 * @param array<string, mixed> $block parsed block.
	 */
	public static function has_ours( array $block ): bool {
		if ( in_array( $block['blockName'], array( 'bitcache/paywall', 'bitcache/paid' ), true ) || self::own_html_has( $block ) || self::attrs_have( $block ) ) {
			return true;
		}
		foreach ( $block['innerBlocks'] as $inner ) {
			if ( self::has_ours( $inner ) ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Say whether a block's own HTML has a shortcode of ours that is not escaped.
	 *
	 * @param array<string, mixed> $block parsed block.
	 */
	public static function own_html_has( array $block ): bool {
		return array() !== Tokens::of( implode( '', array_filter( $block['innerContent'], 'is_string' ) ) );
	}

	/**
	 * Say whether a block's attributes have a shortcode of ours.
	 *
	 * @param array<string, mixed> $block parsed block.
	 */
	public static function attrs_have( array $block ): bool {
		return $block['attrs'] && Tokens::in( (string) wp_json_encode( $block['attrs'], JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE ) );
	}
}
