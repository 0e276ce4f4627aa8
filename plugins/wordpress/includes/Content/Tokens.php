<?php
/**
 * Finds our shortcodes in a piece of HTML.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

/**
 * Reads `[bitcache …]`, `[/bitcache]` and `[bitcache_paywall …]` as WordPress would, but never
 * overlooks one: what WordPress would read differently is read as a marker.
 */
final class Tokens {

	/** A delimiter of our blocks that WordPress has not read as one: it stands in text. */
	const STRAY = '/\A<!--\s*wp:bitcache\/pa(?:ywall|id)(?![\w-])/i';

	const ANY = '/\[(\[?)(\/?)(bitcache_paywall|bitcache)(?![\w-])([^\]]*)\](\]?)/i';

	/**
	 * Say whether a text has one, escaped ones included.
	 *
	 * @param string $text anything.
	 */
	public static function in( string $text ): bool {
		return Glance::names_us( $text ) && ( false !== stripos( $text, '[bitcache' ) || false !== stripos( $text, '[/bitcache' ) || false !== stripos( $text, 'wp:bitcache/pa' ) );
	}

	/**
	 * Return the markers in the order in which they stand.
	 *
	 * `type` is `open`, `close`, `wall`, `broken` (inside a tag) or `comment` (inside a comment).
	 *
	 * @param string $html any HTML.
	 * @return array<int, array{at: int, length: int, type: string, atts: array<string, string>}>
	 */
	public static function of( string $html ): array {
		if ( ! self::in( $html ) ) {
			return array();
		}
		$tags   = self::tags( $html );
		$tokens = array();
		$at     = 0;
		while ( preg_match( self::ANY, $html, $found, PREG_OFFSET_CAPTURE, $at ) ) {
			$start = $found[0][1];
			$past  = self::past_escaped( $html, $found );
			if ( $past > 0 ) {
				$at = $past;
				continue;
			}
			// A second bracket on either side is text.
			$from = $start + strlen( $found[1][0] );
			$to   = $start + strlen( $found[0][0] ) - strlen( $found[5][0] );
			$type = '' !== $found[2][0] ? 'close' : ( 'bitcache' === strtolower( $found[3][0] ) ? 'open' : 'wall' );
			foreach ( $tags as $tag ) {
				if ( $from >= $tag[0] && $from < $tag[1] ) {
					$type = $tag[2];
					$from = $tag[0];
					$to   = max( $to, $tag[1] );
				}
			}
			$tokens[] = array(
				'at'     => $from,
				'length' => $to - $from,
				'type'   => $type,
				'atts'   => self::atts( $found[4][0] ),
			);
			$at       = $to;
		}
		return self::in_order( array_merge( $tokens, self::stray( $html, $tags, $at ) ) );
	}

	/**
	 * Return what is broken: delimiters of blocks in text, and a shortcode without its last bracket.
	 *
	 * @param string                                       $html any HTML.
	 * @param array<int, array{0: int, 1: int, 2: string}> $tags of it.
	 * @param int                                          $at   where the last marker ends.
	 * @return array<int, array{at: int, length: int, type: string, atts: array<string, string>}>
	 */
	private static function stray( string $html, array $tags, int $at ): array {
		$spots = array();
		foreach ( $tags as $tag ) {
			if ( preg_match( self::STRAY, substr( $html, $tag[0], min( 120, $tag[1] - $tag[0] ) ) ) ) {
				$spots[ $tag[0] ] = $tag[1] - $tag[0];
			}
		}
		if ( preg_match( '/(?<!\[)\[(?:bitcache_paywall|bitcache)(?![\w-])[^\]]*\z/i', $html, $found, PREG_OFFSET_CAPTURE, $at ) ) {
			$spots[ $found[0][1] ] = strlen( '[bitcache' );
		}
		$tokens = array();
		foreach ( $spots as $from => $length ) {
			$tokens[] = array(
				'at'     => $from,
				'length' => $length,
				'type'   => 'wall',
				'atts'   => array(),
			);
		}
		return $tokens;
	}

	/**
	 * Return markers in the order in which they stand; of two that overlap, the first.
	 *
	 * @param array<int, array{at: int, length: int, type: string, atts: array<string, string>}> $tokens in any order.
	 * @return array<int, array{at: int, length: int, type: string, atts: array<string, string>}>
	 */
	private static function in_order( array $tokens ): array {
		usort(
			$tokens,
			static function ( array $one, array $other ): int {
				return array( $one['at'], 'wall' === $other['type'] ) <=> array( $other['at'], 'wall' === $one['type'] );
			}
		);
		$end  = 0;
		$kept = array();
		foreach ( $tokens as $token ) {
			if ( $token['at'] >= $end ) {
				$kept[] = $token;
				$end    = $token['at'] + $token['length'];
			}
		}
		return $kept;
	}

	/**
	 * Return where an escaped marker ends (`[[bitcache]]`, `[[bitcache]…[/bitcache]]`), or 0.
	 *
	 * @param string                                   $html  any HTML.
	 * @param array<int, array{0: string, 1: int}> $found what ANY has found.
	 */
	private static function past_escaped( string $html, array $found ): int {
		$end = $found[0][1] + strlen( $found[0][0] );
		if ( '[' !== $found[1][0] ) {
			return 0;
		}
		$closed = '' === $found[2][0] && 'bitcache' === strtolower( $found[3][0] )
			? preg_match( '/\[\/bitcache\](\]?)/i', $html, $close, PREG_OFFSET_CAPTURE, $end )
			: 0;
		if ( $closed ) {
			return ']' === $close[1][0] ? $close[0][1] + strlen( $close[0][0] ) : 0;
		}
		return ']' === $found[5][0] ? $end : 0;
	}

	/**
	 * Return where tags and comments begin and end, and what a marker in them is.
	 *
	 * @param string $html any HTML.
	 * @return array<int, array{0: int, 1: int, 2: string}>
	 */
	private static function tags( string $html ): array {
		$ranges = array();
		$at     = 0;
		foreach ( wp_html_split( $html ) as $index => $piece ) {
			$end = $at + strlen( $piece );
			if ( 1 === $index % 2 ) {
				$ranges[] = array( $at, $end, 0 === strncmp( $piece, '<!--', 4 ) && '-->' === substr( $piece, -3 ) ? 'comment' : 'broken' );
			}
			$at = $end;
		}
		return $ranges;
	}

	/**
	 * Return the attributes of a marker; quotes that an editor made round are quotes.
	 *
	 * @param string $text what stands between the name and the bracket.
	 * @return array<string, string>
	 */
	private static function atts( string $text ): array {
		$text = html_entity_decode( $text, ENT_QUOTES | ENT_HTML5, 'UTF-8' );
		$text = str_replace( array( '“', '”', '„', '″', '«', '»', "\u{00A0}" ), array( '"', '"', '"', '"', '"', '"', ' ' ), $text );
		$atts = shortcode_parse_atts( $text );
		$atts = is_array( $atts ) ? $atts : array();
		return array_map( 'strval', array_filter( $atts, 'is_scalar' ) );
	}
}
