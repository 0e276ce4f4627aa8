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

	/** Attach every hook. */
	public function register(): void {
		add_action( 'init', array( $this, 'blocks' ), 20 );
		add_filter( 'block_parser_class', array( $this, 'parser' ) );
		add_shortcode( 'bitcache', array( $this, 'paid' ) );
		add_shortcode( 'bitcache_paywall', array( $this, 'paywall' ) );
	}

	/**
	 * Read blocks with our parser, unless another plugin brings its own.
	 *
	 * @param string $name of the class.
	 */
	public function parser( $name ) {
		return 'WP_Block_Parser' === $name ? BlockParser::class : $name;
	}

	/** Register the blocks. Their editor side is in the same files. */
	public function blocks(): void {
		foreach ( array( 'paywall', 'paid' ) as $name ) {
			if ( ! \WP_Block_Type_Registry::get_instance()->is_registered( 'bitcache/' . $name ) ) {
				register_block_type( dirname( BITCACHE_FILE ) . '/blocks/' . $name, array( 'render_callback' => array( $this, $name ) ) );
			}
		}
	}

	/**
	 * Return what stands in the place of a wrap.
	 *
	 * @param mixed $atts attributes of the block or shortcode.
	 */
	public function paid( $atts = array() ): string {
		$key = Part::clean_key( is_array( $atts ) ? ( $atts['part'] ?? '' ) : '' );
		return $this->wall( '' === $key ? Part::POST : $key );
	}

	/** Return what stands in the place of a divider. */
	public function paywall(): string {
		return $this->wall( Part::POST );
	}

	/**
	 * Return the wall of a part of the current post, or nothing.
	 *
	 * @param string $key of the part.
	 */
	private function wall( string $key ): string {
		$post = get_post();
		if ( ! $post instanceof \WP_Post || is_feed() || is_admin() ) {
			return '';
		}
		$document = Document::of( $post );
		$part     = $document->is_locked() ? ( $document->part( $key ) ?? $document->part( Part::POST ) ) : null;
		return $part ? ( new Wall() )->place( $post, $part->key, 1 ) : '';
	}
}
