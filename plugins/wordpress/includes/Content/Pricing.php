<?php
/**
 * What a post costs.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

use Bitcache\Settings;

/**
 * The post's own price, else its author's, else its categories', else the site's.
 */
final class Pricing {

	const PRICE    = Defaults::OWN;
	const CURRENCY = '_bitcache_currency';
	const FREE     = '_bitcache_free';

	/**
	 * Return the price that a post is sold under, or null if it has none or is free.
	 *
	 * @param \WP_Post $post any post.
	 */
	public static function for_post( \WP_Post $post ): ?Price {
		$price = self::own( $post ) ?? self::fallback( $post );
		return null === $price || self::is_free( $post ) ? null : $price;
	}

	/**
	 * Say whether the owner made this post free, whatever else is said about it.
	 *
	 * @param \WP_Post $post any post.
	 */
	public static function is_free( \WP_Post $post ): bool {
		return '1' === (string) get_post_meta( $post->ID, self::FREE, true );
	}

	/**
	 * Return the price that was set on the post itself, or null.
	 *
	 * @param \WP_Post $post any post.
	 */
	public static function own( \WP_Post $post ): ?Price {
		// The price of an attachment is the price of its file, not of its description.
		$amount = 'attachment' === $post->post_type ? '' : get_post_meta( $post->ID, self::PRICE, true );
		if ( '' === $amount || false === $amount ) {
			return null;
		}
		$currency = get_post_meta( $post->ID, self::CURRENCY, true );
		return Price::parse( $amount, $currency ? $currency : Settings::get()['default_currency'] );
	}

	/**
	 * Return what posts cost whose own price was not set, or null.
	 *
	 * @param \WP_Post $post any post.
	 */
	public static function fallback( \WP_Post $post ): ?Price {
		if ( ! Defaults::concern( $post->post_type ) ) {
			return null;
		}
		$settings = Settings::get();
		return Defaults::of_author( (int) $post->post_author )
			?? Defaults::of_terms( $post )
			?? Price::parse( $settings['default_price'], $settings['default_currency'] );
	}
}
