<?php
/**
 * Finds the place of the wall where nobody marked one.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

/**
 * Puts a divider after the free paragraphs.
 *
 * Each block that shows something counts as a paragraph; headings and empty space do not. There
 * is always something left behind the wall: of a post with one paragraph, that one.
 */
final class Cut {

	/** Blocks that are one piece, although there are others in them. */
	const WHOLE = array( 'core/list', 'core/gallery', 'core/quote', 'core/buttons', 'core/social-links', 'core/table', 'core/embed', 'core/navigation', 'core/query' );

	/** Blocks that are no paragraphs. */
	const NOTHING = array( 'core/heading', 'core/spacer', 'core/separator', 'core/more', 'core/nextpage', 'core/post-title' );

	/** @var int How many are free. */
	private $free;

	/** @var int How many were passed. */
	private $passed = 0;

	/**
	 * Keep the number.
	 *
	 * @param int $free_paragraphs 0 counts as 1: a reader sees what it is about.
	 */
	public function __construct( int $free_paragraphs ) {
		$this->free = max( 1, $free_paragraphs );
	}

	/**
	 * Return the blocks with a divider in the right place.
	 *
	 * @param array<int, array<string, mixed>> $blocks parsed blocks.
	 * @return array<int, array<string, mixed>>
	 */
	public function insert( array $blocks ): array {
		$this->free   = min( $this->free, max( 0, $this->count( $blocks ) - 1 ) );
		$this->passed = 0;
		if ( 0 === $this->free ) {
			return array_merge( array( self::divider() ), $blocks );
		}
		return $this->pass( $blocks );
	}

	/**
	 * Count paragraphs.
	 *
	 * @param array<int, array<string, mixed>> $blocks parsed blocks.
	 */
	private function count( array $blocks ): int {
		$sum = 0;
		foreach ( $blocks as $block ) {
			$sum += self::is_container( $block ) ? $this->count( $block['innerBlocks'] ) : count( self::ends( $block ) );
		}
		return $sum;
	}

	/**
	 * Go through blocks until the number is reached.
	 *
	 * @param array<int, array<string, mixed>> $blocks parsed blocks.
	 * @return array<int, array<string, mixed>>
	 */
	private function pass( array $blocks ): array {
		$passed = array();
		foreach ( $blocks as $block ) {
			if ( $this->passed >= $this->free ) {
				$passed[] = $block;
			} elseif ( self::is_container( $block ) ) {
				$passed[] = $this->pass_container( $block );
			} else {
				$passed = array_merge( $passed, $this->pass_leaf( $block ) );
			}
		}
		return $passed;
	}

	/**
	 * Go through a container; the divider goes into it, after the block that reaches the number.
	 *
	 * @param array<string, mixed> $block parsed block.
	 * @return array<string, mixed>
	 */
	private function pass_container( array $block ): array {
		$inner   = array();
		$content = array();
		$next    = 0;
		foreach ( $block['innerContent'] as $chunk ) {
			if ( null !== $chunk ) {
				$content[] = $chunk;
				continue;
			}
			$added   = $this->pass( array( $block['innerBlocks'][ $next++ ] ) );
			$inner   = array_merge( $inner, $added );
			$content = array_merge( $content, array_fill( 0, count( $added ), null ) );
		}
		$block['innerBlocks']  = $inner;
		$block['innerContent'] = $content;
		return $block;
	}

	/**
	 * Go through a block without others in it; a text of many paragraphs may be cut in two.
	 *
	 * @param array<string, mixed> $block parsed block.
	 * @return array<int, array<string, mixed>>
	 */
	private function pass_leaf( array $block ): array {
		$ends = self::ends( $block );
		if ( $this->passed + count( $ends ) < $this->free ) {
			$this->passed += count( $ends );
			return array( $block );
		}
		$at           = $ends[ $this->free - $this->passed - 1 ];
		$this->passed = $this->free;
		if ( ! self::is_text( $block ) ) {
			return array( $block, self::divider() );
		}
		$html = implode( '', $block['innerContent'] );
		return array( self::text( force_balance_tags( substr( $html, 0, $at ) ) ), self::divider(), self::text( force_balance_tags( substr( $html, $at ) ) ) );
	}

	/**
	 * Return where the paragraphs of a block end, in bytes of its HTML.
	 *
	 * @param array<string, mixed> $block parsed block.
	 * @return int[]
	 */
	private static function ends( array $block ): array {
		if ( in_array( $block['blockName'], self::NOTHING, true ) ) {
			return array();
		}
		$html = implode( '', array_filter( $block['innerContent'], 'is_string' ) );
		if ( ! self::is_text( $block ) ) {
			return array( strlen( $html ) );
		}
		preg_match_all( '/\n[ \t\r]*\n|<br\s*\/?>\s*<br\s*\/?>|<\/(?:p|div|ul|ol|table|blockquote|figure|pre|section|article)\s*>|\z/i', $html, $found, PREG_OFFSET_CAPTURE );
		$ends = array();
		$from = 0;
		foreach ( $found[0] as $end ) {
			$to    = $end[1] + strlen( $end[0] );
			$piece = (string) preg_replace( '/<h[1-6]\b.*?<\/h[1-6]\s*>|<!--.*?-->|&nbsp;/is', '', substr( $html, $from, $to - $from ) );
			if ( '' !== trim( strip_tags( $piece, '<img><video><audio><iframe><object><embed><svg><input>' ) ) ) {
				$ends[] = $to;
			}
			$from = $to;
		}
		return $ends;
	}

	/**
	 * Say whether a block is a text without block markup.
	 *
	 * @param array<string, mixed> $block parsed block.
	 */
	private static function is_text( array $block ): bool {
		return in_array( $block['blockName'], array( null, 'core/freeform', 'core/html' ), true );
	}

	/**
	 * Say whether a block is only a shell around others.
	 *
	 * @param array<string, mixed> $block parsed block.
	 */
	private static function is_container( array $block ): bool {
		return $block['innerBlocks'] && ! in_array( $block['blockName'], self::WHOLE, true );
	}

	/** @return array<string, mixed> */
	private static function divider(): array {
		return array( 'blockName' => 'bitcache/paywall' ) + self::text( '' );
	}

	/**
	 * Return a text as a block.
	 *
	 * @param string $html the text.
	 * @return array<string, mixed>
	 */
	private static function text( string $html ): array {
		return array(
			'blockName'    => null,
			'attrs'        => array(),
			'innerBlocks'  => array(),
			'innerHTML'    => $html,
			'innerContent' => array( $html ),
		);
	}
}
