<?php
/**
 * Amounts as whole numbers.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

/**
 * Turns "12.50" into 1250 minor units, without floats.
 *
 * Exponents of ISO 4217; every other currency has two decimals. SAT has none.
 */
final class Minor {

	const EXPONENTS = array(
		'SAT' => 0,
		'CLP' => 0,
		'ISK' => 0,
		'JPY' => 0,
		'KRW' => 0,
		'PYG' => 0,
		'UGX' => 0,
		'VND' => 0,
		'XAF' => 0,
		'XOF' => 0,
		'BHD' => 3,
		'IQD' => 3,
		'JOD' => 3,
		'KWD' => 3,
		'LYD' => 3,
		'OMR' => 3,
		'TND' => 3,
	);

	/**
	 * Return an amount in minor units, rounded half away from zero where it has more decimals.
	 *
	 * @param string|int|float $amount   in major units, as shops keep it.
	 * @param string           $currency ISO 4217, or SAT.
	 * @throws \InvalidArgumentException For what is no amount.
	 */
	public static function of( $amount, string $currency ): int {
		// PHP before 8 writes floats with the locale's comma.
		$text = is_float( $amount ) ? number_format( $amount, 8, '.', '' ) : trim( (string) $amount );
		if ( ! preg_match( '/\A(-?)(\d{1,12})(?:\.(\d*))?\z/', $text, $found ) ) {
			throw new \InvalidArgumentException( 'no amount' );
		}
		$exponent = self::EXPONENTS[ $currency ] ?? 2;
		$decimals = str_pad( $found[3] ?? '', $exponent + 1, '0' );
		$minor    = (int) ( $found[2] . substr( $decimals, 0, $exponent ) );
		$minor   += $decimals[ $exponent ] >= '5' ? 1 : 0;
		return '-' === $found[1] ? -$minor : $minor;
	}
}
