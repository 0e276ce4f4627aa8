<?php
/**
 * What the owner of the site chose.
 *
 * @package Bitcache
 */

namespace Bitcache;

/**
 * The option `bitcache_settings`, one for each site of a network.
 *
 * Whoever writes the option, what is stored is clean: the form of the settings page, WP-CLI
 * and other plugins all go through `sanitise`.
 */
final class Settings {

	const OPTION = 'bitcache_settings';

	/** Widest corner that the wall looks well with, in pixels. */
	const MAX_RADIUS = 32;

	/** @var mixed the option as it was read last */
	private static $stored = null;

	/** @var array<string, mixed> what that means */
	private static $all = array();

	/** Attach every hook. */
	public function register(): void {
		add_filter( 'sanitize_option_' . self::OPTION, array( self::class, 'sanitise' ) );
	}

	/**
	 * Return what is stored, with what is not there at its default; parts of `rules` and `look` may be missing.
	 *
	 * @return array<string, mixed>
	 */
	public static function stored(): array {
		$stored = get_option( self::OPTION, array() );
		return is_array( $stored ) ? $stored + self::defaults() : self::defaults();
	}

	/**
	 * Return everything, with what was never chosen at its default.
	 *
	 * @return array<string, mixed>
	 */
	public static function get(): array {
		$stored = get_option( self::OPTION, array() );
		// Asked for many times on a page, and most of the time is in what follows.
		if ( $stored !== self::$stored ) {
			self::$all    = self::over( is_array( $stored ) ? $stored : array(), self::defaults() );
			self::$stored = $stored;
		}
		return self::$all;
	}

	/**
	 * Change some of it and leave the rest as it is. Return everything as it is now.
	 *
	 * @param array<string, mixed> $changes by the names of `defaults`.
	 * @return array<string, mixed>
	 */
	public static function save( array $changes ): array {
		update_option( self::OPTION, self::sanitise( self::over( $changes, self::get() ) ) );
		return self::get();
	}

	/**
	 * What holds before anybody chose anything.
	 *
	 * @return array<string, mixed>
	 */
	public static function defaults(): array {
		return array(
			'default_price'    => '',
			'default_currency' => 'USD',
			'default_types'    => array( 'post' ),
			'rules'            => array(
				'free_paragraphs' => 0,
				'free_readers'    => 0,
				'free_after_days' => 0,
				'free_roles'      => array(),
			),
			'look'             => array(
				'theme'  => 'auto',
				'accent' => '',
				'radius' => 12,
			),
			'crawlers'         => false,
			'sendfile'         => '',
			'keep_sales'       => true,
			'notice'           => '',
		);
	}

	/**
	 * Return settings in their types and bounds; what makes no sense is at its default.
	 *
	 * @param mixed $raw as it was sent or stored.
	 * @return array<string, mixed>
	 */
	public static function sanitise( $raw ): array {
		$raw      = self::over( is_array( $raw ) ? $raw : array(), self::defaults() );
		$look     = $raw['look'];
		$currency = strtoupper( self::text( $raw['default_currency'] ) );
		$accent   = strtolower( self::text( $look['accent'] ) );
		return array(
			'default_price'    => self::amount( $raw['default_price'] ),
			'default_currency' => preg_match( '/\A[A-Z]{3}\z/', $currency ) ? $currency : 'USD',
			'default_types'    => self::keys( $raw['default_types'] ),
			'rules'            => self::rules( $raw['rules'] ),
			'look'             => array(
				'theme'  => self::one_of( $look['theme'], array( 'auto', 'light', 'dark' ) ),
				'accent' => preg_match( '/\A#[0-9a-f]{6}\z/', $accent ) ? $accent : '',
				'radius' => self::number( $look['radius'], self::MAX_RADIUS ),
			),
			'crawlers'         => ! empty( $raw['crawlers'] ),
			'sendfile'         => self::one_of( $raw['sendfile'], array( '', 'x-sendfile', 'x-accel' ) ),
			'keep_sales'       => ! empty( $raw['keep_sales'] ),
			'notice'           => mb_substr( sanitize_text_field( self::text( $raw['notice'] ) ), 0, 300 ),
		);
	}

	/**
	 * Return a price as its amount: "0.05", "1200", or "" for none and for what is no amount.
	 *
	 * A comma is read as a decimal point, because that is what many keyboards give.
	 *
	 * @param mixed $raw what somebody typed.
	 */
	public static function amount( $raw ): string {
		$text = str_replace( ',', '.', trim( self::text( $raw ) ) );
		if ( ! preg_match( '/\A\d{1,12}(\.\d{1,8})?\z/', $text ) || ! preg_match( '/[1-9]/', $text ) ) {
			return '';
		}
		return preg_replace( '/\A0+(?=\d)/', '', $text );
	}

	/**
	 * Return the wall's look as CSS declarations for the element; "" where nothing was chosen.
	 */
	public static function look_css(): string {
		$look = self::get()['look'];
		$css  = '';
		if ( '' !== $look['accent'] ) {
			$css .= '--bitcache-accent:' . $look['accent'] . ';';
			$css .= '--bitcache-on-accent:' . self::on_accent( $look['accent'] ) . ';';
		}
		if ( self::defaults()['look']['radius'] !== $look['radius'] ) {
			$css .= '--bitcache-radius:' . $look['radius'] . 'px;';
		}
		return $css;
	}

	/**
	 * Return black or white, whichever can be read better on a colour (WCAG 2.2, contrast ratio).
	 *
	 * @param string $colour `#rrggbb`.
	 */
	public static function on_accent( string $colour ): string {
		$light = 0.0;
		foreach ( array( 0.2126, 0.7152, 0.0722 ) as $at => $weight ) {
			$part   = hexdec( substr( $colour, 1 + 2 * $at, 2 ) ) / 255;
			$light += $weight * ( $part <= 0.04045 ? $part / 12.92 : pow( ( $part + 0.055 ) / 1.055, 2.4 ) );
		}
		return ( $light + 0.05 ) * ( $light + 0.05 ) > 1.05 * 0.05 ? '#000000' : '#ffffff';
	}

	/**
	 * Return rules in their bounds.
	 *
	 * @param mixed $raw as it was sent or stored.
	 * @return array<string, mixed>
	 */
	public static function rules( $raw ): array {
		$raw = self::over( is_array( $raw ) ? $raw : array(), self::defaults()['rules'] );
		return array(
			'free_paragraphs' => self::number( $raw['free_paragraphs'], 1000 ),
			'free_readers'    => self::number( $raw['free_readers'], 1000000 ),
			'free_after_days' => self::number( $raw['free_after_days'], 36500 ),
			'free_roles'      => self::keys( $raw['free_roles'] ),
		);
	}

	/**
	 * Lay an array over another; the parts of `rules` and `look` one by one.
	 *
	 * @param array<string, mixed> $upper what counts.
	 * @param array<string, mixed> $lower what counts where the upper says nothing.
	 * @return array<string, mixed>
	 */
	private static function over( array $upper, array $lower ): array {
		$all = array_intersect_key( $upper, $lower ) + $lower;
		foreach ( array( 'rules', 'look' ) as $name ) {
			if ( isset( $lower[ $name ] ) ) {
				$mine         = is_array( $all[ $name ] ) ? $all[ $name ] : array();
				$all[ $name ] = array_intersect_key( $mine, $lower[ $name ] ) + $lower[ $name ];
			}
		}
		return $all;
	}

	/**
	 * Return the text, or "" for what is none.
	 *
	 * @param mixed $raw anything.
	 */
	private static function text( $raw ): string {
		return is_scalar( $raw ) ? (string) $raw : '';
	}

	/**
	 * Return a whole number from 0 to the highest.
	 *
	 * @param mixed $raw anything.
	 * @param int   $highest the bound.
	 */
	private static function number( $raw, int $highest ): int {
		return max( 0, min( $highest, (int) self::text( $raw ) ) );
	}

	/**
	 * Return the value if it is one of a list, else the first of the list.
	 *
	 * @param mixed    $raw     anything.
	 * @param string[] $allowed the list.
	 */
	private static function one_of( $raw, array $allowed ): string {
		return in_array( $raw, $allowed, true ) ? $raw : $allowed[0];
	}

	/**
	 * Return names of post types or roles, each once.
	 *
	 * @param mixed $raw anything.
	 * @return string[]
	 */
	private static function keys( $raw ): array {
		$names = is_array( $raw ) ? array_map( array( self::class, 'text' ), $raw ) : array();
		return array_values( array_unique( array_filter( array_map( 'sanitize_key', $names ) ) ) );
	}
}
