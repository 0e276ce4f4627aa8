<?php
/**
 * The prices that the parts of a post name themselves.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

use Bitcache\Settings;

/**
 * Looks for markers in blocks and keeps the first price of each part.
 */
final class NamedPrices {

	/** @var array<string, array{0: string, 1: string}> Amount and currency by key. */
	private $named = array();

	/**
	 * Say whether a part names a price.
	 *
	 * @param string $key of the part.
	 */
	public function has( string $key ): bool {
		return isset( $this->named[ $key ] );
	}

	/**
	 * Return the price that a part names itself, or null.
	 *
	 * @param string     $key  of the part.
	 * @param Price|null $post the post's own, whose currency holds where none is named.
	 */
	public function price( string $key, ?Price $post ): ?Price {
		if ( ! isset( $this->named[ $key ] ) ) {
			return null;
		}
		list( $amount, $currency ) = $this->named[ $key ];
		if ( '' === $currency ) {
			$currency = null !== $post ? $post->currency : Settings::get()['default_currency'];
		}
		return Price::parse( $amount, $currency );
	}

	/**
	 * Collect the prices that parts name. Return whether there is a marker at all.
	 *
	 * @param array<int, array<string, mixed>> $blocks parsed blocks.
	 */
	public function look( array $blocks ): bool {
		$any = false;
		foreach ( $blocks as $block ) {
			$name = (string) $block['blockName'];
			if ( 'bitcache/paid' === $name || 'bitcache/paywall' === $name ) {
				$any = true;
				$this->name_price( (array) $block['attrs'] );
			}
			$any = Marks::attrs_have( $block ) || $any;
			foreach ( Tokens::of( implode( '', array_filter( $block['innerContent'], 'is_string' ) ) ) as $token ) {
				$any = true;
				$this->name_price( $token['atts'] );
			}
			$any = $this->look( $block['innerBlocks'] ) || $any;
		}
		return $any;
	}

	/**
	 * Keep the price that a marker names, the first of its part.
	 *
	 * @param array<string, mixed> $atts attributes of the marker.
	 */
	private function name_price( array $atts ): void {
		$amount = isset( $atts['price'] ) && is_scalar( $atts['price'] ) ? trim( (string) $atts['price'] ) : '';
		$key    = Part::clean_key( $atts['part'] ?? '' );
		$key    = '' === $key ? Part::POST : $key;
		if ( '' !== $amount && ! isset( $this->named[ $key ] ) ) {
			$currency            = $atts['currency'] ?? '';
			$this->named[ $key ] = array( $amount, is_scalar( $currency ) ? trim( (string) $currency ) : '' );
		}
	}
}
