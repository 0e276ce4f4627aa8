<?php
/**
 * Looks whether the private folder can be reached from outside.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * Puts a file with random words into the folder, asks this site's own web server for it, and
 * looks for the words. Only for folders that have an address at all.
 */
final class Probe {

	const OPTION = 'bitcache_private_probe';

	/** Seconds to wait for the own web server. */
	const LIMIT = 3;

	/** How long an answer holds, in seconds. */
	const HOLDS = 86400;

	/**
	 * Do nothing when the folder is safe.
	 *
	 * @throws \RuntimeException when the web server hands out what is in it.
	 */
	public static function demand(): void {
		$known = get_option( self::OPTION );
		$holds = is_array( $known ) && Folder::root() === $known['root'] && time() < $known['at'] + self::HOLDS;
		if ( $holds ? $known['open'] : self::is_open() ) {
			/* translators: %s: path of a folder. */
			throw new \RuntimeException( esc_html( sprintf( __( 'Your web server hands out files from %s. Set BITCACHE_PRIVATE_DIR in wp-config.php to a folder outside of the web server\'s root.', 'bitcache' ), Folder::root() ) ) );
		}
	}

	/** Ask the web server now. An answer that does not come counts as safe: files are guarded. */
	public static function is_open(): bool {
		$open = false;
		if ( null !== Folder::address( 'x' ) ) {
			$words = bin2hex( random_bytes( 16 ) );
			$rel   = 'probe-' . bin2hex( random_bytes( 8 ) ) . '.txt';
			$real  = Folder::real( $rel );
			file_put_contents( $real, ( Folder::is_guarded() ? Folder::GUARD : '' ) . $words ); // phpcs:ignore
			$open = self::serves( (string) Folder::address( $rel ), $words );
			wp_delete_file( $real );
		}
		update_option(
			self::OPTION,
			array(
				'root' => Folder::root(),
				'at'   => time(),
				'open' => $open,
			),
			false
		);
		return $open;
	}

	/** Return whether a web server sends these words from an address. */
	private static function serves( string $address, string $words ): bool {
		$answer = wp_remote_get(
			$address,
			array(
				'timeout'     => self::LIMIT,
				'redirection' => 0,
				'sslverify'   => false,
			)
		);
		return ! is_wp_error( $answer ) && false !== strpos( wp_remote_retrieve_body( $answer ), $words );
	}
}
