<?php
/**
 * A button that sells something for a fixed price, without a shop.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

use Bitcache\Server\Connection;
use Bitcache\Settings;

/**
 * The block `bitcache/pay-button` and what happens when it is pressed.
 *
 * The page can lie in a cache, so the button carries no order: pressing it posts what is sold, sealed
 * by this site, and the answer leads to a signed link of the server, new for each press. No call to the
 * server is made.
 */
final class PayButton {

	const FIELD = 'bitcache_pay';

	/** How long a link makes an order, in seconds. */
	const LINK_S = 3600;

	const LINK_PURPOSE = 'bitcache.order-link.v1';

	/** Attach every hook. */
	public function register(): void {
		add_action( 'init', array( $this, 'press' ), 30 );
	}

	/**
	 * Return the button.
	 *
	 * @param array<string, mixed> $attributes of the block.
	 */
	public static function render( array $attributes ): string {
		$sold = self::sold( $attributes );
		if ( null === $sold || ! Connection::is_connected() ) {
			return '';
		}
		$words = trim( (string) ( $attributes['label'] ?? '' ) );
		if ( '' === $words ) {
			/* translators: %s: a price, such as 5 EUR. */
			$words = sprintf( __( 'Pay %s with bitcoin', 'bitcache' ), $sold['amount'] . ' ' . $sold['currency'] );
		}
		$json = (string) wp_json_encode( $sold );
		return sprintf(
			'<form method="post" action="%1$s" %2$s>%3$s<input type="hidden" name="%4$s" value="%5$s"><input type="hidden" name="bitcache_seal" value="%6$s"><button type="submit" class="wp-element-button wp-block-button__link">%7$s</button></form>',
			esc_url( home_url( '/' ) ),
			get_block_wrapper_attributes( array( 'class' => 'bitcache-pay-button' ) ),
			self::thanks( $sold ),
			esc_attr( self::FIELD ),
			esc_attr( $json ),
			esc_attr( self::seal( $json ) ),
			esc_html( $words )
		);
	}

	/** Lead to the server when a button of ours was pressed. */
	public function press(): void {
		// phpcs:disable WordPress.Security.NonceVerification.Missing -- anybody may buy; the seal says what we sell.
		if ( ! isset( $_POST[ self::FIELD ], $_POST['bitcache_seal'] ) || ! is_string( $_POST[ self::FIELD ] ) || ! is_string( $_POST['bitcache_seal'] ) ) {
			return;
		}
		$json = wp_unslash( $_POST[ self::FIELD ] ); // phpcs:ignore WordPress.Security.ValidatedSanitizedInput.InputNotSanitized -- compared with its seal.
		$seal = wp_unslash( $_POST['bitcache_seal'] ); // phpcs:ignore WordPress.Security.ValidatedSanitizedInput.InputNotSanitized -- compared.
		// phpcs:enable
		$sold = hash_equals( self::seal( $json ), $seal ) ? json_decode( $json, true ) : null;
		if ( ! is_array( $sold ) || ! Connection::is_connected() || ! Connection::keys() ) {
			wp_die( esc_html__( 'This button is out of date. Please go back and reload the page.', 'bitcache' ), '', array( 'response' => 400 ) );
		}
		nocache_headers();
		// phpcs:ignore WordPress.Security.SafeRedirect -- the server that the owner connected.
		wp_redirect( self::link( $sold, (string) wp_get_raw_referer(), time() ), 303, 'Bitcache' );
		exit;
	}

	/**
	 * Return the link that makes one order (docs/orders.md, "A link that the shop signs").
	 *
	 * @param array<string, string> $sold from `sold`.
	 * @param string                $page where the button was pressed; "" if nobody knows.
	 * @param int                   $now  Unix seconds.
	 */
	public static function link( array $sold, string $page, int $now ): string {
		$fields              = array(
			'site'       => Connection::site_id(),
			'reference'  => 'wpb-' . get_current_blog_id() . '-' . bin2hex( random_bytes( 9 ) ),
			'amount'     => $sold['amount'],
			'currency'   => $sold['currency'],
			'title'      => $sold['title'],
			'return_url' => self::back( $page ),
			'expires'    => (string) ( $now + self::LINK_S ),
		);
		$fields['signature'] = self::signature( $fields, Connection::keys()[0] );
		return Connection::server() . '/order?' . http_build_query( $fields, '', '&', PHP_QUERY_RFC3986 );
	}

	/**
	 * Return what a grant secret makes of the parameters of a link.
	 *
	 * @param array<string, string> $fields of the link.
	 * @param string                $secret of the site.
	 */
	public static function signature( array $fields, string $secret ): string {
		ksort( $fields );
		$message = '';
		foreach ( $fields as $name => $value ) {
			$message .= $name . '=' . $value . "\n";
		}
		$key = hash_hmac( 'sha256', self::LINK_PURPOSE, $secret, true );
		$raw = base64_encode( hash_hmac( 'sha256', $message, $key, true ) ); // phpcs:ignore WordPress.PHP.DiscouragedPHPFunctions -- the form that the server reads.
		return rtrim( strtr( $raw, '+/', '-_' ), '=' );
	}

	/**
	 * Return where the customer goes back to: the page of the button, or the front page where
	 * the browser does not say which that is, or another site claims to be it.
	 *
	 * @param string $page where the button was pressed; "" if nobody knows.
	 */
	private static function back( string $page ): string {
		$home = home_url( '/' );
		return '' === $page ? $home : wp_validate_redirect( remove_query_arg( array( 'order', 'state', 'token' ), $page ), $home );
	}

	/**
	 * Return what a block sells, or null where it is set up wrongly.
	 *
	 * @param array<string, mixed> $attributes of the block.
	 * @return array{amount: string, currency: string, title: string}|null
	 */
	private static function sold( array $attributes ): ?array {
		$amount   = Settings::amount( $attributes['amount'] ?? '' );
		$currency = is_string( $attributes['currency'] ?? null ) ? $attributes['currency'] : '';
		$currency = '' === $currency ? Settings::get()['default_currency'] : $currency;
		$title    = is_string( $attributes['title'] ?? null ) ? $attributes['title'] : '';
		$title    = trim( (string) preg_replace( '/\s+/u', ' ', wp_strip_all_tags( $title ) ) );
		if ( '' === $amount || ! preg_match( '/\A[A-Z]{3}\z/', $currency ) ) {
			return null;
		}
		return array(
			'amount'   => $amount,
			'currency' => $currency,
			'title'    => mb_substr( '' === $title ? wp_specialchars_decode( get_bloginfo( 'name' ), ENT_QUOTES ) : $title, 0, 200 ),
		);
	}

	/**
	 * Return a sentence of thanks, for who comes back from paying this very thing.
	 *
	 * @param array<string, string> $sold from `sold`.
	 */
	private static function thanks( array $sold ): string {
		// phpcs:ignore WordPress.Security.NonceVerification.Recommended -- the token is sealed by the server.
		$token = isset( $_GET['token'] ) && is_string( $_GET['token'] ) ? sanitize_text_field( wp_unslash( $_GET['token'] ) ) : '';
		$said  = '' === $token ? null : OrderToken::read( $token );
		$mine  = null !== $said && 'paid' === $said['t'] && $said['c'] === $sold['currency']
			&& Minor::of( $sold['amount'], $sold['currency'] ) === $said['a'];
		return $mine ? '<p role="status">' . esc_html__( 'Paid. Thank you!', 'bitcache' ) . '</p>' : '';
	}

	/**
	 * Return what only this site can write beside a text.
	 *
	 * @param string $json what is sold.
	 */
	private static function seal( string $json ): string {
		return hash_hmac( 'sha256', $json, wp_salt( 'nonce' ) . self::FIELD );
	}
}
