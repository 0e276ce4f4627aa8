<?php
/**
 * Moves single files between the public and the private folder.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * Each move can be done again after it stopped anywhere: the new file appears whole or not at
 * all, under its last name, and only then the old one goes. A crash in between leaves both.
 */
final class Mover {

	/** Bytes copied at a time. */
	const CHUNK = 1048576;

	/**
	 * Make a public file private. Nothing happens when it is already.
	 *
	 * @throws \RuntimeException when the file is still public.
	 */
	public static function hide( string $rel ): void {
		$from = Paths::shown( $rel );
		clearstatcache( true, $from );
		if ( is_file( $from ) ) {
			self::move( $from, Folder::real( $rel ), Folder::is_guarded() ? 1 : 0 );
		}
	}

	/**
	 * Make a private file public again. Nothing happens when it is already.
	 *
	 * @throws \RuntimeException when it could not be done; the file is still private.
	 */
	public static function show( string $rel ): void {
		$from = Folder::real( $rel );
		clearstatcache( true, $from );
		if ( is_file( $from ) ) {
			self::move( $from, Paths::shown( $rel ), Folder::is_guarded() ? -1 : 0 );
		}
	}

	/**
	 * Bring a private file from a folder that was used before, after the owner chose another.
	 *
	 * @throws \RuntimeException when it could not be done; the file is where it was.
	 */
	public static function bring( string $rel ): void {
		if ( Folder::has( $rel ) || is_file( Paths::shown( $rel ) ) ) {
			return;
		}
		foreach ( Folder::former() as $root => $guarded ) {
			$from = $root . '/' . $rel . ( $guarded ? '.php' : '' );
			if ( Folder::is_safe( $rel ) && is_file( $from ) ) {
				self::move( $from, Folder::real( $rel ), (int) Folder::is_guarded() - (int) $guarded );
				return;
			}
		}
	}

	/**
	 * @param int $guard 1 puts the guard before the file, -1 takes it away, 0 leaves it.
	 * @throws \RuntimeException with what stopped it.
	 */
	private static function move( string $from, string $to, int $guard ): void {
		if ( ! wp_mkdir_p( dirname( $to ) ) ) {
			self::fail( $from );
		}
		// Across file systems PHP's rename copies under the last name, so it is not used there.
		$same = stat( $from )['dev'] === stat( dirname( $to ) )['dev'];
		if ( 0 === $guard && $same && @rename( $from, $to ) ) { // phpcs:ignore
			return;
		}
		$part = $to . '.' . bin2hex( random_bytes( 6 ) ) . '.part' . ( 1 === $guard ? '.php' : '' );
		try {
			self::copy( $from, $part, $guard );
			$time = (int) filemtime( $from );
			touch( $part, $time ); // phpcs:ignore WordPress.WP.AlternativeFunctions
			if ( ! @rename( $part, $to ) ) { // phpcs:ignore
				self::fail( $from );
			}
		} finally {
			if ( is_file( $part ) ) {
				unlink( $part ); // phpcs:ignore WordPress.WP.AlternativeFunctions
			}
		}
		if ( ! @unlink( $from ) ) { // phpcs:ignore
			self::fail( $from );
		}
	}

	/** @throws \RuntimeException when not every byte arrived. */
	private static function copy( string $from, string $part, int $guard ): void {
		$in  = @fopen( $from, 'rb' ); // phpcs:ignore
		$out = false === $in ? false : @fopen( $part, 'xb' ); // phpcs:ignore
		if ( false === $out ) {
			self::fail( $from );
		}
		$skip  = -1 === $guard ? strlen( Folder::GUARD ) : 0;
		$extra = 1 === $guard ? Folder::GUARD : '';
		$size  = (int) fstat( $in )['size'] - $skip + strlen( $extra );
		$good  = 0 === fseek( $in, $skip ) && strlen( $extra ) === @fwrite( $out, $extra ); // phpcs:ignore
		while ( $good && ! feof( $in ) ) {
			$data = fread( $in, self::CHUNK ); // phpcs:ignore WordPress.WP.AlternativeFunctions
			$good = false !== $data && strlen( $data ) === @fwrite( $out, $data ); // phpcs:ignore
		}
		$good = $good && fflush( $out ) && ( ! function_exists( 'fsync' ) || fsync( $out ) );
		$good = $good && (int) fstat( $out )['size'] === $size;
		fclose( $in ); // phpcs:ignore WordPress.WP.AlternativeFunctions
		$good = fclose( $out ) && $good; // phpcs:ignore WordPress.WP.AlternativeFunctions
		if ( ! $good ) {
			self::fail( $from );
		}
	}

	/** @throws \RuntimeException always. */
	private static function fail( string $from ): void {
		/* translators: %s: path of a file. */
		throw new \RuntimeException( esc_html( sprintf( __( 'This file could not be moved (is the disk full, may PHP write there?): %s', 'bitcache' ), $from ) ) );
	}
}
