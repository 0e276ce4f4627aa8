<?php
/**
 * The translations.
 *
 * @package Bitcache
 */

namespace Bitcache;

/**
 * Serves `languages/bitcache-LOCALE.l10n.php` on every version, to related locales and to the scripts.
 *
 * From 6.5 on WordPress reads such files itself, for exactly one locale; with the filters here
 * `de_AT` has German, too, and so has 6.1. A language pack of the plugin directory comes first.
 */
final class Words {

	const DOMAIN = 'bitcache';

	/** @var array<string, array<string, string>> by locale */
	private static $read = array();

	/**
	 * Return a sentence in the reader's language.
	 *
	 * @param string $translated what WordPress found.
	 * @param string $text       the English sentence.
	 */
	public static function translate( string $translated, string $text ): string {
		// Somebody else's translation counts.
		return $translated === $text ? ( self::all( determine_locale() )[ $text ] ?? $text ) : $translated;
	}

	/**
	 * Return a sentence with a number in it.
	 *
	 * @param string $translated what WordPress found.
	 * @param string $one        English for one.
	 * @param string $many       English for many.
	 * @param int    $number     how many.
	 */
	public static function translate_plural( string $translated, string $one, string $many, $number ): string {
		if ( $translated !== $one && $translated !== $many ) {
			return $translated;
		}
		$locale = determine_locale();
		$forms  = explode( "\0", self::all( $locale )[ $one . "\0" . $many ] ?? '' );
		if ( 2 !== count( $forms ) ) {
			return $translated;
		}
		// French counts 0 as one; German does not.
		$is_one = 0 === strncmp( $locale, 'fr', 2 ) ? $number < 2 : 1 === (int) $number;
		return $forms[ $is_one ? 0 : 1 ];
	}

	/** Return a line of script that gives the sentences of this locale to wp.i18n. */
	public static function for_script(): string {
		$words = array();
		foreach ( self::all( determine_locale() ) as $text => $translation ) {
			$words[ explode( "\0", $text )[0] ] = explode( "\0", $translation );
		}
		return array() === $words ? '' : 'wp.i18n.setLocaleData(' . wp_json_encode( $words, JSON_HEX_TAG ) . ',"' . self::DOMAIN . '");';
	}

	/**
	 * Return the sentences of a locale: `de_AT` and `de_DE_formal` have those of `de_DE`.
	 *
	 * @param string $locale such as `de_DE`.
	 * @return array<string, string>
	 */
	private static function all( string $locale ): array {
		if ( ! isset( self::$read[ $locale ] ) ) {
			$language              = substr( $locale, 0, 2 );
			$file                  = dirname( BITCACHE_FILE ) . '/languages/bitcache-' . $language . '_' . strtoupper( $language ) . '.l10n.php';
			self::$read[ $locale ] = preg_match( '/\A[a-z]{2}(_|\z)/', $locale ) && is_file( $file ) ? ( require $file )['messages'] : array(); // nosemgrep: include-of-a-variable -- two letters of the locale name it.
		}
		return self::$read[ $locale ];
	}
}
