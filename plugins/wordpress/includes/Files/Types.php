<?php
/**
 * How a file is named and typed when it is sent.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * Nothing that a browser could run leaves this site's origin as a page: what is not a picture,
 * a sound, a film or a PDF is sent as bytes to save.
 */
final class Types {

	/** What a browser shows without running it, by ending. */
	const SHOWN = array(
		'jpg'  => 'image/jpeg',
		'jpeg' => 'image/jpeg',
		'jpe'  => 'image/jpeg',
		'png'  => 'image/png',
		'gif'  => 'image/gif',
		'webp' => 'image/webp',
		'avif' => 'image/avif',
		'heic' => 'image/heic',
		'bmp'  => 'image/bmp',
		'tif'  => 'image/tiff',
		'tiff' => 'image/tiff',
		'ico'  => 'image/x-icon',
		'mp3'  => 'audio/mpeg',
		'm4a'  => 'audio/mp4',
		'm4b'  => 'audio/mp4',
		'aac'  => 'audio/aac',
		'ogg'  => 'audio/ogg',
		'oga'  => 'audio/ogg',
		'opus' => 'audio/ogg',
		'flac' => 'audio/flac',
		'wav'  => 'audio/wav',
		'mp4'  => 'video/mp4',
		'm4v'  => 'video/mp4',
		'webm' => 'video/webm',
		'ogv'  => 'video/ogg',
		'mov'  => 'video/quicktime',
		'3gp'  => 'video/3gpp',
		'pdf'  => 'application/pdf',
	);

	/** Return the ending of a file's name in small letters, without the dot. */
	public static function ending( string $name ): string {
		return strtolower( (string) pathinfo( $name, PATHINFO_EXTENSION ) );
	}

	/** Return the Content-Type to send for a name. */
	public static function of( string $name ): string {
		$ending = self::ending( $name );
		return isset( self::SHOWN[ $ending ] ) ? self::SHOWN[ $ending ] : 'application/octet-stream';
	}

	/** Return the Content-Security-Policy to send for a name. PDF viewers do not run in a sandbox. */
	public static function policy( string $name ): string {
		return 'pdf' === self::ending( $name ) ? "frame-ancestors 'self'" : "default-src 'none'; sandbox";
	}

	/**
	 * Return the Content-Disposition (RFC 6266): the name in ASCII, and in UTF-8 beside it.
	 *
	 * @param string $name of the file, UTF-8.
	 * @param bool   $save whether the reader asked to save it.
	 */
	public static function disposition( string $name, bool $save ): string {
		$name  = str_replace( array( '/', '\\' ), '-', preg_replace( '/[\x00-\x1f\x7f]/', '', $name ) );
		$shown = isset( self::SHOWN[ self::ending( $name ) ] );
		$plain = preg_replace( '/[^A-Za-z0-9._ -]+/', '_', $name );
		$value = ( $shown && ! $save ? 'inline' : 'attachment' ) . '; filename="' . $plain . '"';
		return $plain === $name ? $value : $value . "; filename*=UTF-8''" . rawurlencode( $name );
	}
}
