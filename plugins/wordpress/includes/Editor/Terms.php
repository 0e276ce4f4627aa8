<?php
/**
 * The default price of a category.
 *
 * @package Bitcache
 */

namespace Bitcache\Editor;

use Bitcache\Content\Defaults;

/**
 * A field on the screens of categories. Its value is the term's meta `bitcache_price`.
 */
final class Terms {

	const TAXONOMY = 'category';

	const NONCE = 'bitcache_term';

	/** Attach every hook. */
	public function register(): void {
		add_action( self::TAXONOMY . '_add_form_fields', array( $this, 'add_field' ) );
		add_action( self::TAXONOMY . '_edit_form_fields', array( $this, 'edit_field' ) );
		add_action( 'created_' . self::TAXONOMY, array( $this, 'save' ) );
		add_action( 'edited_' . self::TAXONOMY, array( $this, 'save' ) );
	}

	/** Print the field for a new category. */
	public function add_field(): void {
		echo '<div class="form-field"><span>' . esc_html__( 'Price of its posts', 'bitcache' ) . '</span><br>';
		$this->print_field( '', '' );
		echo '<p>' . esc_html( self::help() ) . '</p></div>';
	}

	/**
	 * Print the field for a category that there is.
	 *
	 * @param \WP_Term $term which.
	 */
	public function edit_field( \WP_Term $term ): void {
		$amount   = (string) get_term_meta( $term->term_id, Defaults::PRICE, true );
		$currency = (string) get_term_meta( $term->term_id, Defaults::CURRENCY, true );
		echo '<tr class="form-field"><th scope="row">' . esc_html__( 'Price of its posts', 'bitcache' ) . '</th><td>';
		$this->print_field( $amount, $currency );
		echo '<p class="description">' . esc_html( self::help() ) . '</p></td></tr>';
	}

	/**
	 * Keep what was typed.
	 *
	 * @param int $term_id whose.
	 */
	public function save( int $term_id ): void {
		$nonce = isset( $_POST['bitcache_term_nonce'] ) ? sanitize_key( wp_unslash( $_POST['bitcache_term_nonce'] ) ) : '';
		if ( ! wp_verify_nonce( $nonce, self::NONCE ) || ! current_user_can( 'edit_term', $term_id ) ) {
			return;
		}
		// phpcs:ignore WordPress.Security.ValidatedSanitizedInput.InputNotSanitized -- Fields::read checks each part.
		$price = Fields::read( isset( $_POST['bitcache_term'] ) ? wp_unslash( $_POST['bitcache_term'] ) : null );
		if ( null !== $price ) {
			// The currency first: whoever follows the price reads both.
			update_term_meta( $term_id, Defaults::CURRENCY, $price[1] );
			update_term_meta( $term_id, Defaults::PRICE, $price[0] );
		}
	}

	/** Print the inputs and the nonce. */
	private function print_field( string $amount, string $currency ): void {
		wp_nonce_field( self::NONCE, 'bitcache_term_nonce', false );
		Fields::price( 'bitcache_term', $amount, $currency );
	}

	/** What the field does. */
	private static function help(): string {
		return __( 'Posts of this category cost this much unless they have a price of their own or are marked as free. The highest price of several categories counts.', 'bitcache' );
	}
}
