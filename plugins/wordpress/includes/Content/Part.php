<?php
/**
 * A part of a post that costs.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

/**
 * What is sold as one item. It may stand in the post in several stretches.
 */
final class Part {

	/** What is sold under the post's own price. */
	const POST = 'post';

	/** @var string `post`, or the name of a wrap: `[a-z0-9-]{1,32}`. */
	public $key;

	/** @var string Every stretch, one after the other, as it is stored (block markup, shortcodes). */
	public $html;

	/** @var Price|null Null: withheld, but not for sale until somebody names a price. */
	public $price;

	/** @var array<int, string> The stretches as they are stored, from 1. */
	public $stretches;

	/**
	 * Keep what a post says of a part.
	 *
	 * @param string             $key       its name.
	 * @param array<int, string> $stretches from 1.
	 * @param Price|null         $price     what it costs.
	 */
	public function __construct( string $key, array $stretches, ?Price $price ) {
		$this->key       = $key;
		$this->stretches = $stretches;
		$this->html      = implode( "\n\n", $stretches );
		$this->price     = $price;
	}

	/**
	 * Return a name as it can be used; "" for none.
	 *
	 * @param mixed $raw as somebody typed it.
	 */
	public static function clean_key( $raw ): string {
		$key = is_scalar( $raw ) ? strtolower( trim( (string) $raw ) ) : '';
		return trim( substr( (string) preg_replace( '/[^a-z0-9-]+/', '-', $key ), 0, 32 ), '-' );
	}
}
