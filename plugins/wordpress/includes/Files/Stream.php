<?php
/**
 * Sends a private file.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * In pieces, so that a file of any size takes the same memory. Where the owner's web server
 * takes over (`Handover`) PHP sends the headers only.
 */
final class Stream {

	/** Bytes read and sent at a time. */
	const CHUNK = 262144;

	/** Send a file to whoever asked, and end the request. */
	public static function send( string $rel, bool $save ): void {
		$real = Folder::real( $rel );
		$skip = Folder::is_guarded() ? strlen( Folder::GUARD ) : 0;
		$file = @fopen( $real, 'rb' ); // phpcs:ignore
		if ( false === $file ) {
			self::refuse( 404 );
		}
		self::prepare();
		$stat = fstat( $file );
		$size = $stat['size'] - $skip;
		$etag = '"' . substr( hash( 'sha256', $rel . '|' . $size . '|' . $stat['mtime'] . '|' . $stat['ino'] ), 0, 32 ) . '"';
		$date = gmdate( 'D, d M Y H:i:s', $stat['mtime'] ) . ' GMT';
		self::headers( $rel, $save, $etag, $date );
		if ( Ranges::fresh( self::asked( 'IF_NONE_MATCH' ), self::asked( 'IF_MODIFIED_SINCE' ), $etag, $stat['mtime'] ) ) {
			status_header( 304 );
			header_remove( 'Content-Type' );
			exit;
		}
		$range = Ranges::holds( self::asked( 'IF_RANGE' ), $etag, $date ) ? Ranges::parse( self::asked( 'RANGE' ), $size ) : null;
		if ( false === $range ) {
			header( 'Content-Range: bytes */' . $size );
			header( 'Content-Length: 0' );
			status_header( 416 );
			exit;
		}
		$way = Handover::way();
		if ( '' !== $way && Handover::give( $way, $rel ) ) {
			exit;
		}
		if ( null !== $range ) {
			header( 'Content-Range: bytes ' . $range[0] . '-' . $range[1] . '/' . $size );
		}
		status_header( null === $range ? 200 : 206 );
		list( $first, $last ) = null === $range ? array( 0, $size - 1 ) : $range;
		header( 'Content-Length: ' . ( $last - $first + 1 ) );
		if ( 'HEAD' !== self::method() ) {
			self::pour( $file, $skip + $first, $last - $first + 1 );
		}
		exit;
	}

	/** Say no, without a word about what there is, and end the request. */
	public static function refuse( int $status ): void {
		self::prepare();
		nocache_headers();
		header( 'Cache-Control: private, no-store' );
		header( 'Content-Type: text/plain; charset=utf-8' );
		header( 'X-Content-Type-Options: nosniff' );
		header( 'X-Robots-Tag: noindex' );
		status_header( $status );
		if ( 'HEAD' !== self::method() ) {
			echo 404 === $status ? "Not found\n" : "This link has ended or is not yours\n";
		}
		exit;
	}

	/** Return the method of the request, in capitals. */
	public static function method(): string {
		return strtoupper( sanitize_key( wp_unslash( $_SERVER['REQUEST_METHOD'] ?? 'GET' ) ) );
	}

	/** Undo what would hold the file in memory, change it, or end it early. */
	private static function prepare(): void {
		defined( 'DONOTCACHEPAGE' ) || define( 'DONOTCACHEPAGE', true );
		defined( 'DONOTMINIFY' ) || define( 'DONOTMINIFY', true );
		while ( ob_get_level() > 0 && @ob_end_clean() ) { // phpcs:ignore
			continue;
		}
		@ini_set( 'zlib.output_compression', 'Off' ); // phpcs:ignore
		if ( function_exists( 'apache_setenv' ) ) {
			@apache_setenv( 'no-gzip', '1' ); // phpcs:ignore
		}
		if ( PHP_SESSION_ACTIVE === session_status() ) {
			session_write_close();
		}
		header_remove( 'Pragma' );
		header_remove( 'Expires' );
		header_remove( 'Link' );
	}

	/** Send the headers that every answer with this file has. */
	private static function headers( string $rel, bool $save, string $etag, string $date ): void {
		$name    = Paths::name( $rel );
		$headers = array(
			'Content-Type'                 => Types::of( $name ),
			'Content-Disposition'          => Types::disposition( $name, $save ),
			'Content-Security-Policy'      => Types::policy( $name ),
			'X-Content-Type-Options'       => 'nosniff',
			'Cache-Control'                => 'private, no-store',
			'Cross-Origin-Resource-Policy' => 'same-site',
			'Referrer-Policy'              => 'no-referrer',
			'X-Robots-Tag'                 => 'noindex, noarchive',
			'X-Accel-Buffering'            => 'no',
			'Accept-Ranges'                => 'bytes',
			'ETag'                         => $etag,
			'Last-Modified'                => $date,
		);
		foreach ( $headers as $key => $value ) {
			header( $key . ': ' . $value );
		}
	}

	/** @param resource $file open for reading. */
	private static function pour( $file, int $from, int $count ): void {
		global $wpdb;
		// A slow reader must not keep a connection to the database.
		$wpdb->close();
		ignore_user_abort( false );
		fseek( $file, $from );
		while ( $count > 0 && ! feof( $file ) && 0 === connection_status() ) {
			if ( function_exists( 'set_time_limit' ) ) {
				@set_time_limit( 60 ); // phpcs:ignore
			}
			$data = fread( $file, (int) min( self::CHUNK, $count ) ); // phpcs:ignore WordPress.WP.AlternativeFunctions
			if ( false === $data || '' === $data ) {
				break;
			}
			$count -= strlen( $data );
			echo $data; // nosemgrep: unescaped -- the file's bytes.
			flush();
		}
		fclose( $file ); // phpcs:ignore WordPress.WP.AlternativeFunctions
	}

	/** Return a header of the request, "" when it was not sent. */
	private static function asked( string $name ): string {
		$value = $_SERVER[ 'HTTP_' . $name ] ?? ''; // phpcs:ignore
		return is_string( $value ) ? trim( wp_unslash( $value ) ) : '';
	}
}
