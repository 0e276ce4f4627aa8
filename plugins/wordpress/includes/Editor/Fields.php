<?php
/**
 * The form fields of a price, in every place where one can be typed.
 *
 * @package Bitcache
 */

namespace Bitcache\Editor;

use Bitcache\Server\Connection;
use Bitcache\Settings;

/**
 * Prints the fields and reads them. Who prints checks the capability, who reads also the nonce.
 */
final class Fields {

	/**
	 * Return the currencies that the server takes, the site's first.
	 *
	 * @param string $also one that must be among them; empty for none.
	 * @return string[]
	 */
	public static function currencies( string $also = '' ): array {
		$first = array_filter( array( Settings::get()['default_currency'], $also ) );
		return array_values( array_unique( array_merge( $first, Connection::currencies() ) ) );
	}

	/**
	 * Print an amount and a currency.
	 *
	 * @param string $name     the prefix of both fields.
	 * @param string $amount   what is stored; empty for none.
	 * @param string $currency what is stored; empty for the site's.
	 */
	public static function price( string $name, string $amount, string $currency ): void {
		// WordPress gives each field of such a form a line of its own: one price is on one line.
		$id       = str_replace( array( '[', ']' ), '-', $name );
		$currency = '' === $currency ? Settings::get()['default_currency'] : $currency;
		printf(
			'<span class="bitcache-price"><label class="screen-reader-text" for="%1$s-amount">%2$s</label>'
			. '<input type="text" inputmode="decimal" size="8" style="display:inline-block;width:9em;max-width:60%%" id="%1$s-amount" name="%3$s[amount]" value="%4$s" pattern="\d{1,9}([.,]\d{1,8})?" placeholder="%5$s"> ',
			esc_attr( $id ),
			esc_html__( 'Price', 'bitcache' ),
			esc_attr( $name ),
			esc_attr( $amount ),
			esc_attr( Settings::get()['default_price'] )
		);
		printf(
			'<label class="screen-reader-text" for="%1$s-currency">%2$s</label><select id="%1$s-currency" name="%3$s[currency]" style="display:inline-block;width:auto">',
			esc_attr( $id ),
			esc_html__( 'Currency', 'bitcache' ),
			esc_attr( $name )
		);
		foreach ( self::currencies( $currency ) as $code ) {
			printf( '<option%s>%s</option>', selected( $code, $currency, false ), esc_html( $code ) );
		}
		echo '</select></span>';
	}

	/**
	 * Return what was typed: amount and currency. An amount that is none comes back as null, so that
	 * what was stored before stays.
	 *
	 * @param mixed $raw the field of the form, unslashed.
	 * @return array{0: string, 1: string}|null
	 */
	public static function read( $raw ): ?array {
		if ( ! is_array( $raw ) || ! isset( $raw['amount'] ) || ! is_string( $raw['amount'] ) ) {
			return null;
		}
		$typed    = trim( $raw['amount'] );
		$amount   = Settings::amount( $typed );
		$currency = isset( $raw['currency'] ) && is_string( $raw['currency'] ) ? $raw['currency'] : '';
		if ( ( '' !== $typed && '' === $amount ) || ! preg_match( '/\A([A-Z]{3})?\z/', $currency ) ) {
			return null;
		}
		return array( $amount, '' === $amount ? '' : $currency );
	}

	/**
	 * Store a post's price.
	 *
	 * @param int                        $post_id whose.
	 * @param array{0: string, 1: string} $price   from `read`.
	 */
	public static function store( int $post_id, array $price ): void {
		update_post_meta( $post_id, '_bitcache_price', $price[0] );
		update_post_meta( $post_id, '_bitcache_currency', $price[1] );
	}
}
