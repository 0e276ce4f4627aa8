<?php
/**
 * Addresses of private files inside HTML.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * Posts keep the addresses that their pictures had when they were written. Here they become
 * previews, or links for one reader. Whether a file is private is asked of the disk, so text
 * without private files costs no query.
 */
final class Html {

	/**
	 * Replace the addresses of private files.
	 *
	 * @param string   $html  text of any kind: HTML, `srcset`, CSS, JSON of blocks.
	 * @param callable $place called with an attachment's id and a file's path, returns an address.
	 */
	public static function replace( string $html, callable $place ): string {
		if ( ! Vault::is_used() || ! Folder::exists() ) {
			return $html;
		}
		$base = (string) wp_parse_url( wp_upload_dir( null, false )['baseurl'], PHP_URL_PATH );
		if ( '' === $base || ( false === strpos( $html, $base ) && false === strpos( $html, str_replace( '/', '\/', $base ) ) ) ) {
			return $html;
		}
		$slashed = str_replace( '/', '\\\\?/', preg_quote( $base, '~' ) );
		$pattern = '~(?:(?:https?:)?\\\\?/\\\\?/[^\s"\'<>()\\\\/,]+(?::\d+)?)?' . $slashed . '\\\\?/([^\s"\'<>()?#&,]+)(?:\?[^\s"\'<>(),\\\\]*)?~i';
		if ( ! preg_match_all( $pattern, $html, $all ) ) {
			return $html;
		}
		$private = array();
		foreach ( array_unique( $all[1] ) as $written ) {
			$rel = self::rel( $written );
			if ( Folder::has( $rel ) ) {
				$private[ $written ] = $rel;
			}
		}
		if ( array() === $private ) {
			return $html;
		}
		$owners = Vault::owners( array_values( $private ) );
		$result = preg_replace_callback(
			$pattern,
			static function ( array $found ) use ( $private, $owners, $place ): string {
				$rel = $private[ $found[1] ] ?? null;
				if ( null === $rel || empty( $owners[ $rel ] ) ) {
					return $found[0];
				}
				$address = $place( $owners[ $rel ][0], $rel );
				return false === strpos( $found[0], '\/' ) ? $address : str_replace( '/', '\/', $address );
			},
			$html
		);
		return null === $result ? $html : $result;
	}

	/** Return text in which links of private files are the addresses that posts keep. */
	public static function canonical( string $html ): string {
		if ( false === strpos( $html, Links::QUERY . '=' ) ) {
			return $html;
		}
		return (string) preg_replace_callback(
			'~(?:https?:)?\\\\?/\\\\?/[^\s"\'<>()]{1,200}?\?' . Links::QUERY . '=(\d{1,18})\.([0-9a-f]{16})\.\d{1,12}\.[0-9a-f]{64}~',
			static function ( array $found ): string {
				foreach ( Vault::paths( (int) $found[1] ) as $rel ) {
					if ( Links::short( $rel ) === $found[2] ) {
						$address = Paths::address( $rel );
						return false === strpos( $found[0], '\/' ) ? $address : str_replace( '/', '\/', $address );
					}
				}
				return $found[0];
			},
			$html
		);
	}

	/**
	 * Return the paths below the uploads folder that a text names.
	 *
	 * @return string[]
	 */
	public static function paths( string $html ): array {
		$base = (string) wp_parse_url( wp_upload_dir( null, false )['baseurl'], PHP_URL_PATH );
		if ( '' === $base || ! preg_match_all( '~' . str_replace( '/', '\\\\?/', preg_quote( $base, '~' ) ) . '\\\\?/([^\s"\'<>()?#&,]+)~i', $html, $all ) ) {
			return array();
		}
		return array_values( array_unique( array_map( array( self::class, 'rel' ), $all[1] ) ) );
	}

	/** Return a path as it is on the disk, from how an address spells it. */
	private static function rel( string $written ): string {
		return rawurldecode( rtrim( str_replace( '\/', '/', $written ), '\\' ) );
	}
}
