<?php
/**
 * How the sale of a post stands.
 *
 * @package Bitcache
 */

namespace Bitcache\Editor;

use Bitcache\Content\Document;
use Bitcache\Content\Part;
use Bitcache\Content\Price;
use Bitcache\Content\Pricing;
use Bitcache\Server\Items;
use Bitcache\Server\Sales;

/**
 * Price, sales and what is wrong, for the people who edit the post.
 */
final class Standing {

	/**
	 * Return the standing of a post. All of it is text, not HTML.
	 *
	 * @param int $post_id whose.
	 * @return array{price: string, sales: int, error: string, withheld: bool}
	 */
	public static function of( int $post_id ): array {
		$post    = get_post( $post_id );
		$problem = Items::problem( $post_id );
		return array(
			'price'    => $post instanceof \WP_Post ? self::prices( $post ) : '',
			'sales'    => Sales::of( $post_id )['count'],
			'error'    => null === $problem ? '' : $problem['words'],
			// What is marked as paid and costs nothing can be neither read nor bought.
			'withheld' => $post instanceof \WP_Post && self::lacks_price( $post ),
		);
	}

	/**
	 * Return what a post costs that has no price of its own; "" for nothing.
	 *
	 * @param \WP_Post $post whose.
	 */
	public static function default_price( \WP_Post $post ): string {
		$price = Pricing::fallback( $post );
		return null === $price ? '' : $price->label();
	}

	/**
	 * Say whether a part of a post is withheld and not for sale.
	 *
	 * @param \WP_Post $post whose.
	 */
	private static function lacks_price( \WP_Post $post ): bool {
		$document = Document::of( $post );
		if ( ! $document->is_concerned() || Pricing::is_free( $post ) ) {
			return false;
		}
		foreach ( $document->parts() as $part ) {
			if ( ! $part->price instanceof Price ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Return each price that there is in a post, once.
	 *
	 * @param \WP_Post $post whose.
	 */
	private static function prices( \WP_Post $post ): string {
		$document = Document::of( $post );
		if ( ! $document->is_concerned() || Pricing::is_free( $post ) ) {
			return '';
		}
		$labels = array_map(
			static function ( Part $part ): string {
				return $part->price instanceof Price ? $part->price->label() : '';
			},
			array_values( $document->parts() )
		);
		return implode( ', ', array_unique( array_filter( $labels ) ) );
	}
}
