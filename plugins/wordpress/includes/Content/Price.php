<?php
/**
 * A price.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

/**
 * An amount in major units of its currency, as text: "0.05" with USD is five cents, "5" with SAT
 * five satoshis. Never a float. Does not change.
 */
final class Price {

	/** @var string Plain decimal number above 0, such as "0.05". */
	public $amount;

	/** @var string ISO 4217 code, or SAT. */
	public $currency;

	/**
	 * Keep a price that was checked; everybody else calls `parse`.
	 *
	 * @param string $amount   plain decimal number above 0.
	 * @param string $currency three capital letters.
	 */
	private function __construct( string $amount, string $currency ) {
		$this->amount   = $amount;
		$this->currency = $currency;
	}

	/**
	 * Return the price, or null for none and for what is no price. A comma is a decimal point.
	 *
	 * @param mixed $amount   what somebody typed or stored.
	 * @param mixed $currency three letters of any case.
	 */
	public static function parse( $amount, $currency ): ?Price {
		if ( ! is_scalar( $amount ) || ! is_scalar( $currency ) ) {
			return null;
		}
		$amount   = str_replace( ',', '.', trim( (string) $amount ) );
		$currency = strtoupper( trim( (string) $currency ) );
		$good     = preg_match( '/\A\d{1,12}(\.\d{1,8})?\z/', $amount )
			&& preg_match( '/[1-9]/', $amount )
			&& preg_match( '/\A[A-Z]{3}\z/', $currency )
			&& ( 'SAT' !== $currency || ctype_digit( $amount ) );
		return $good ? new self( (string) preg_replace( '/\A0+(?=\d)/', '', $amount ), $currency ) : null;
	}

	/** Return it for people, in the site's language: "0.05 USD". */
	public function label(): string {
		$decimals = strlen( (string) strstr( $this->amount, '.' ) );
		return number_format_i18n( (float) $this->amount, max( 0, $decimals - 1 ) ) . ' ' . ( 'SAT' === $this->currency ? 'sat' : $this->currency );
	}

	/**
	 * Say whether another price is the same.
	 *
	 * @param Price|null $other the other one.
	 */
	public function equals( ?Price $other ): bool {
		return null !== $other && $this->amount === $other->amount && $this->currency === $other->currency;
	}
}
