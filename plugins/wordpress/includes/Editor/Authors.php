<?php
/**
 * The default price of an author.
 *
 * @package Bitcache
 */

namespace Bitcache\Editor;

use Bitcache\Content\Defaults;

/**
 * A field in the profile. Its value is the user's meta `bitcache_price`.
 */
final class Authors {

	const NONCE = 'bitcache_author';

	/** Attach every hook. */
	public function register(): void {
		add_action( 'show_user_profile', array( $this, 'print_field' ) );
		add_action( 'edit_user_profile', array( $this, 'print_field' ) );
		add_action( 'personal_options_update', array( $this, 'save' ) );
		add_action( 'edit_user_profile_update', array( $this, 'save' ) );
	}

	/**
	 * Print the field for those who may publish.
	 *
	 * @param \WP_User $user whose profile.
	 */
	public function print_field( \WP_User $user ): void {
		if ( ! self::allowed( $user->ID ) ) {
			return;
		}
		$amount   = (string) get_user_meta( $user->ID, Defaults::PRICE, true );
		$currency = (string) get_user_meta( $user->ID, Defaults::CURRENCY, true );
		echo '<h2>Bitcache</h2><table class="form-table" role="presentation"><tr><th scope="row">'
			. esc_html__( 'Price of the posts', 'bitcache' ) . '</th><td>';
		wp_nonce_field( self::NONCE, 'bitcache_author_nonce', false );
		Fields::price( 'bitcache_author', $amount, $currency );
		echo '<p class="description">'
			. esc_html__( 'Posts of this author cost this much unless they have a price of their own or are marked as free.', 'bitcache' )
			. '</p></td></tr></table>';
	}

	/**
	 * Keep what was typed.
	 *
	 * @param int $user_id whose.
	 */
	public function save( int $user_id ): void {
		$nonce = isset( $_POST['bitcache_author_nonce'] ) ? sanitize_key( wp_unslash( $_POST['bitcache_author_nonce'] ) ) : '';
		if ( ! wp_verify_nonce( $nonce, self::NONCE ) || ! self::allowed( $user_id ) ) {
			return;
		}
		// phpcs:ignore WordPress.Security.ValidatedSanitizedInput.InputNotSanitized -- Fields::read checks each part.
		$price = Fields::read( isset( $_POST['bitcache_author'] ) ? wp_unslash( $_POST['bitcache_author'] ) : null );
		if ( null !== $price ) {
			// The currency first: whoever follows the price reads both.
			update_user_meta( $user_id, Defaults::CURRENCY, $price[1] );
			update_user_meta( $user_id, Defaults::PRICE, $price[0] );
		}
	}

	/**
	 * May the one who is signed in set this author's price?
	 *
	 * @param int $user_id the author.
	 */
	private static function allowed( int $user_id ): bool {
		return current_user_can( 'edit_user', $user_id ) && user_can( $user_id, 'publish_posts' );
	}
}
