<?php
/**
 * Our blocks with all that is to be known of them.
 *
 * @package Bitcache
 */

namespace Bitcache\Front;

use Bitcache\Files\FileBlock;
use Bitcache\Shop\PayButton;

/**
 * Reads `blocks/NAME/block.json`: for editors, and on pages once a text names one of them. Each
 * block that WordPress knows makes every page slower, because it looks for styles of each.
 */
final class AllBlocks {

	/** @var bool */
	private static $loaded = false;

	/** Attach every hook. */
	public function register(): void {
		if ( did_action( 'init' ) ) {
			self::load();
		} else {
			add_action( 'init', array( self::class, 'load' ), 19 );
		}
	}

	/** Register each block, whole. */
	public static function load(): void {
		if ( self::$loaded ) {
			return;
		}
		self::$loaded = true;
		FileBlock::assets();
		$renderers = array(
			'paywall'    => array( Blocks::class, 'paywall' ),
			'paid'       => array( Blocks::class, 'paid' ),
			'file'       => array( FileBlock::class, 'block' ),
			'pay-button' => array( PayButton::class, 'render' ),
		);
		foreach ( $renderers as $name => $renderer ) {
			$settings = array(
				'render_callback'   => $renderer,
				// What is in a wrap is not even made into HTML.
				'skip_inner_blocks' => true,
			);
			register_block_type( dirname( BITCACHE_FILE ) . '/blocks/' . $name, $settings );
		}
	}
}
