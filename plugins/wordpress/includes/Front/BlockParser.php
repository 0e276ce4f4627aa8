<?php
/**
 * Reads blocks for rendering.
 *
 * @package Bitcache
 */

namespace Bitcache\Front;

use Bitcache\Content\Document;
use Bitcache\Content\Glance;
use Bitcache\Content\Parser;

/**
 * Themes and plugins send stored text straight to `do_blocks`. A divider cannot withhold its
 * neighbours there when they are rendered, so they are taken away when they are read. All other
 * readers of blocks get the whole text: it may be on its way back into the database.
 */
final class BlockParser extends \WP_Block_Parser {

	/** @var string|null the text that was read last, if it has nothing of ours and was read once */
	private static $last = null;

	/** @var array[] its blocks */
	private static $blocks = array();

	/**
	 * Read blocks with this parser, unless another plugin brings its own.
	 *
	 * @param string $name of the class.
	 */
	public static function instead( $name ) {
		if ( 'WP_Block_Parser' === $name ) {
			return self::class;
		}
		AllBlocks::load();
		return $name;
	}

	/**
	 * Return the blocks of a text.
	 *
	 * @param string $document the text.
	 * @return array[]
	 */
	public function parse( $document ) {
		if ( ! is_string( $document ) ) {
			return parent::parse( $document );
		}
		if ( $document === self::$last ) {
			// WordPress reads each pattern twice in a row: for its hooked blocks, and to show it.
			$blocks       = self::$blocks;
			self::$last   = null;
			self::$blocks = array();
			return $blocks;
		}
		if ( Glance::names_us( $document ) ) {
			return $this->withheld( $document );
		}
		if ( '' !== $document && false === strpos( $document, '<!--' ) ) {
			return array( self::freeform_block( $document ) );
		}
		// This gives back most of what our own looks take.
		self::$blocks = parent::parse( $document );
		self::$last   = $document;
		return self::$blocks;
	}

	/**
	 * Return the blocks of a text without what a divider in it withholds, if they are about to be shown.
	 *
	 * @param string $document the text.
	 * @return array[]
	 */
	private function withheld( string $document ): array {
		// Whoever reads these may render them one by one.
		if ( preg_match( '/wp:bitcache\/(?:file|pay-button)/', $document ) ) {
			AllBlocks::load();
		}
		if ( ! self::is_rendered() ) {
			return parent::parse( $document );
		}
		if ( false !== strpos( $document, 'wp:bitcache/' ) ) {
			AllBlocks::load();
		}
		if ( preg_match( '/bitcache[\/_]paywall/i', $document ) ) {
			$document = ( new Parser( $document ) )->teaser();
			$document = (string) preg_replace( Document::PLACEHOLDER, '<!-- wp:bitcache/paywall /-->', $document, 1 );
			$document = (string) preg_replace( Document::PLACEHOLDER, '', $document );
		}
		return parent::parse( $document );
	}

	/**
	 * Return what WordPress makes of a text in which no block begins; many are only a word or two.
	 *
	 * @param string $document the text.
	 */
	private static function freeform_block( string $document ): array {
		return array(
			'blockName'    => null,
			'attrs'        => array(),
			'innerBlocks'  => array(),
			'innerHTML'    => $document,
			'innerContent' => array( $document ),
		);
	}

	/** Say whether the blocks are rendered at once; newer versions read synced patterns by themselves. */
	private static function is_rendered(): bool {
		// This function, withheld, parse, parse_blocks, and who called that.
		$calls = debug_backtrace( DEBUG_BACKTRACE_IGNORE_ARGS, 5 );
		return in_array( $calls[4]['function'] ?? '', array( 'do_blocks', 'render_block_core_block' ), true );
	}
}
