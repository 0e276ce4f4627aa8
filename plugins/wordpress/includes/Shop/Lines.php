<?php
/**
 * The lines of a WooCommerce order as the server wants them.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

/**
 * One line for each product, shipping and fee. The sum is the order's total to the last cent.
 */
final class Lines {

	/** Tax rates are told in steps of a tenth of a per cent: the shop's own sums are rounded. */
	const TAX_STEP_PPM = 1000;

	/**
	 * Return the lines.
	 *
	 * @param \WC_Order $order which.
	 * @return array<int, array<string, mixed>>
	 */
	public static function of( $order ): array {
		$currency = $order->get_currency();
		$total    = Minor::of( $order->get_total(), $currency );
		$lines    = array();
		$sum      = 0;
		foreach ( $order->get_items( array( 'line_item', 'shipping', 'fee' ) ) as $item ) {
			$net     = (float) $item->get_total();
			$tax     = (float) $item->get_total_tax();
			$minor   = Minor::of( $net + $tax, $currency );
			$lines[] = array(
				'title'      => self::title( $item ),
				'unit_minor' => $minor,
				'tax_ppm'    => self::tax_ppm( $net, $tax ),
			);
			$sum    += $minor;
		}
		if ( $sum === $total && array() !== $lines ) {
			return $lines;
		}
		// Other plugins change totals: what the customer pays is the total, in one line then.
		return array(
			array(
				/* translators: %s: the number of an order. */
				'title'      => sprintf( __( 'Order %s', 'bitcache' ), $order->get_order_number() ),
				'unit_minor' => $total,
				'tax_ppm'    => self::tax_ppm( (float) $order->get_total() - (float) $order->get_total_tax(), (float) $order->get_total_tax() ),
			),
		);
	}

	/**
	 * Return how a line is called.
	 *
	 * @param \WC_Order_Item $item which.
	 */
	private static function title( $item ): string {
		$name  = trim( wp_strip_all_tags( (string) $item->get_name() ) );
		$count = (int) $item->get_quantity();
		$name  = '' === $name ? __( 'Item', 'bitcache' ) : $name;
		return mb_substr( $count > 1 ? $count . ' × ' . $name : $name, 0, 200 );
	}

	/**
	 * Return the rate of the tax in a price, rounded to the nearest step.
	 *
	 * @param float $net without the tax.
	 * @param float $tax the tax.
	 */
	private static function tax_ppm( float $net, float $tax ): int {
		if ( $net <= 0 || $tax <= 0 ) {
			return 0;
		}
		$steps = (int) round( $tax / $net * 1000000 / self::TAX_STEP_PPM );
		return min( 1000000, $steps * self::TAX_STEP_PPM );
	}
}
