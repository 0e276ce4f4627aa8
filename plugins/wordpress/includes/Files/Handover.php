<?php
/**
 * Lets the web server send private files, where it was seen to do so.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

use Bitcache\Settings;

/**
 * `X-Sendfile` and `X-Accel-Redirect` are mere headers to a web server that does not know them:
 * readers would get empty files, and the path of the real one. So the owner's choice is tried
 * when it is made and once an hour, with a file of random words and a range of it, and counts
 * only for as long as that works. Until then WordPress sends the files.
 */
final class Handover {

	/** What was found: way, root of the folder, state, and the token of a try that goes on. */
	const OPTION = 'bitcache_sendfile';

	/** Address below which nginx finds the private folder, set in its configuration. */
	const ACCEL = '/bitcache-private/';

	/** Beginning of the value that asks for the file of a try. */
	const ASKED = 'probe.';

	/** Seconds to wait for the own web server. */
	const LIMIT = 3;

	/** What a try can find. */
	const WORKS   = 'works';
	const GUARDED = 'guarded';
	const IGNORED = 'ignored';
	const SILENT  = 'silent';

	/** Return the way that files of now are handed over by; "" where WordPress sends them. */
	public static function way(): string {
		$way   = (string) Settings::get()['sendfile'];
		$known = '' === $way ? array() : self::known();
		return '' !== $way && self::WORKS === $known['state'] && $way === $known['way'] && Folder::root() === $known['root'] && ! Folder::is_guarded() ? $way : '';
	}

	/**
	 * Say to the web server which file to send. Return whether it can be told.
	 *
	 * @param string $way one of the values of the setting, not "".
	 * @param string $rel path below the uploads folder.
	 */
	public static function give( string $way, string $rel ): bool {
		$real = Folder::real( $rel );
		if ( 'x-accel' === $way ) {
			$path = get_current_blog_id() . '/' . $rel;
			header_remove( 'X-Accel-Buffering' );
			// nginx says it as well; mod_xsendfile does not.
			header_remove( 'Accept-Ranges' );
			header( 'X-Accel-Redirect: ' . self::ACCEL . implode( '/', array_map( 'rawurlencode', explode( '/', $path ) ) ) );
		} elseif ( false !== strpos( $real, '%' ) ) {
			// Some web servers decode the path, and some do not.
			return false;
		} else {
			header( 'X-Sendfile: ' . $real );
		}
		return true;
	}

	/** Try what the owner chose. Never throws. */
	public static function look(): void {
		$way = (string) Settings::get()['sendfile'];
		if ( '' === $way ) {
			delete_option( self::OPTION );
			return;
		}
		try {
			Folder::make();
			self::note( $way, Folder::is_guarded() ? self::GUARDED : self::tried( $way ) );
		} catch ( \RuntimeException $error ) {
			self::note( $way, self::GUARDED );
		}
	}

	/**
	 * Answer the request of a try; others go on.
	 *
	 * @param mixed $value of the address.
	 */
	public static function answer( $value ): void {
		if ( ! is_string( $value ) || 0 !== strpos( $value, self::ASKED ) ) {
			return;
		}
		$known = self::known();
		$token = substr( $value, strlen( self::ASKED ) );
		if ( '' === $known['token'] || ! hash_equals( $known['token'], $token ) ) {
			return;
		}
		header( 'Content-Type: text/plain' );
		header( 'Cache-Control: private, no-store' );
		self::give( $known['way'], self::file( $token ) );
		exit;
	}

	/** Return what is so now, for the owner; "" where WordPress sends files by choice. */
	public static function words(): string {
		$words = array(
			self::WORKS   => __( 'Tried: the web server sends them.', 'bitcache' ),
			self::GUARDED => __( 'The folder for private files can be served, so WordPress sends them. Set BITCACHE_PRIVATE_DIR to a folder outside of the web server’s root.', 'bitcache' ),
			self::IGNORED => __( 'Tried: the web server is not set up for it, so WordPress sends them.', 'bitcache' ),
			self::SILENT  => __( 'It could not be tried, because this site does not reach itself. WordPress sends them.', 'bitcache' ),
		);
		return '' === Settings::get()['sendfile'] ? '' : ( $words[ self::known()['state'] ] ?? '' );
	}

	/** Ask the own web server for a range of random words. Return what was found. */
	private static function tried( string $way ): string {
		$token = bin2hex( random_bytes( 16 ) );
		$words = bin2hex( random_bytes( 16 ) );
		$real  = Folder::real( self::file( $token ) );
		self::note( $way, self::IGNORED, $token );
		file_put_contents( $real, $words ); // phpcs:ignore WordPress.WP.AlternativeFunctions -- into our own folder, for a moment.
		$answer = wp_remote_get(
			home_url( '/?' . Links::QUERY . '=' . self::ASKED . $token ),
			array(
				'timeout'     => self::LIMIT,
				'redirection' => 0,
				'sslverify'   => false,
				'headers'     => array( 'Range' => 'bytes=8-15' ),
			)
		);
		wp_delete_file( $real );
		if ( is_wp_error( $answer ) ) {
			return self::SILENT;
		}
		return substr( $words, 8, 8 ) === wp_remote_retrieve_body( $answer ) ? self::WORKS : self::IGNORED;
	}

	/** Return the path of a try's file below the uploads folder. */
	private static function file( string $token ): string {
		return 'probe-' . substr( hash( 'sha256', $token ), 0, 16 ) . '.txt';
	}

	/** Write down what was found; with a token while a try goes on. */
	private static function note( string $way, string $state, string $token = '' ): void {
		update_option(
			self::OPTION,
			array(
				'way'   => $way,
				'root'  => Folder::root(),
				'state' => $state,
				'token' => $token,
			),
			false
		);
	}

	/** @return array{way: string, root: string, state: string, token: string} */
	private static function known(): array {
		$known = get_option( self::OPTION );
		return ( is_array( $known ) ? array_map( 'strval', $known ) : array() ) + array(
			'way'   => '',
			'root'  => '',
			'state' => '',
			'token' => '',
		);
	}
}
