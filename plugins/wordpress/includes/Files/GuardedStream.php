<?php
/**
 * Guarded files, read and written as if they were plain ones.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * PHP's stream wrapper for `bitcache://<site>/<path>`: leaves out the guard at the beginning of
 * a file when it is read and puts it there when it is written. WordPress edits pictures behind
 * a wrapper as it does with those on other storage. Names of methods are PHP's.
 */
final class GuardedStream {

	/** @var resource|null */
	public $context;

	/** @var resource|null */
	private $file;

	/** @var resource|null */
	private $folder;

	/** @var bool whether each write goes to the end. */
	private $append = false;

	public function stream_open( string $url, string $mode ): bool {
		$path = self::path( $url );
		$kind = $mode[0];
		if ( null === $path || ! in_array( $kind, array( 'r', 'w', 'x', 'a', 'c' ), true ) ) {
			return false;
		}
		$plus = false !== strpos( $mode, '+' ) ? '+' : '';
		// "a" is opened as "c": its guard may have to be written first.
		$file = @fopen( $path, ( 'r' === $kind ? 'r' . $plus : ( 'a' === $kind ? 'c+' : $kind . $plus ) ) . 'b' ); // phpcs:ignore
		if ( false === $file ) {
			return false;
		}
		$guard = Folder::GUARD;
		if ( 'r' !== $kind && 0 === (int) fstat( $file )['size'] ) {
			fwrite( $file, $guard ); // phpcs:ignore WordPress.WP.AlternativeFunctions
		} elseif ( 'r' === $kind && fread( $file, strlen( $guard ) ) !== $guard ) { // phpcs:ignore
			fclose( $file ); // phpcs:ignore WordPress.WP.AlternativeFunctions
			return false;
		}
		$this->append = 'a' === $kind;
		$this->file   = $file;
		return 0 === fseek( $file, $this->append ? 0 : strlen( $guard ), $this->append ? SEEK_END : SEEK_SET );
	}

	/** @return string|false */
	public function stream_read( int $count ) {
		return fread( $this->file, $count ); // phpcs:ignore WordPress.WP.AlternativeFunctions
	}

	/** @return int|false */
	public function stream_write( string $data ) {
		if ( $this->append ) {
			fseek( $this->file, 0, SEEK_END );
		}
		return fwrite( $this->file, $data ); // phpcs:ignore WordPress.WP.AlternativeFunctions
	}

	public function stream_eof(): bool {
		return feof( $this->file );
	}

	public function stream_tell(): int {
		return (int) ftell( $this->file ) - strlen( Folder::GUARD );
	}

	public function stream_seek( int $offset, int $whence = SEEK_SET ): bool {
		if ( SEEK_SET === $whence ) {
			return $offset >= 0 && 0 === fseek( $this->file, $offset + strlen( Folder::GUARD ) );
		}
		$from = SEEK_CUR === $whence ? (int) ftell( $this->file ) : (int) fstat( $this->file )['size'];
		return $from + $offset >= strlen( Folder::GUARD ) && 0 === fseek( $this->file, $from + $offset );
	}

	public function stream_flush(): bool {
		return fflush( $this->file );
	}

	public function stream_truncate( int $size ): bool {
		return ftruncate( $this->file, $size + strlen( Folder::GUARD ) );
	}

	public function stream_lock( int $operation ): bool {
		return 0 === $operation || flock( $this->file, $operation );
	}

	public function stream_set_option(): bool {
		return false;
	}

	public function stream_close(): void {
		fclose( $this->file ); // phpcs:ignore WordPress.WP.AlternativeFunctions
	}

	/** @return array<int|string, int>|false */
	public function stream_stat() {
		return self::shorter( fstat( $this->file ) );
	}

	/** @param mixed $value as `touch` and `chmod` give it. */
	public function stream_metadata( string $url, int $option, $value ): bool {
		$path = self::path( $url );
		if ( null === $path || ( STREAM_META_TOUCH !== $option && ! file_exists( $path ) ) ) {
			return false;
		}
		if ( STREAM_META_TOUCH === $option ) {
			if ( ! file_exists( $path ) && false === file_put_contents( $path, Folder::GUARD ) ) { // phpcs:ignore
				return false;
			}
			return touch( $path, ...array_values( (array) $value ) ); // phpcs:ignore WordPress.WP.AlternativeFunctions
		}
		return STREAM_META_ACCESS === $option && chmod( $path, $value ); // phpcs:ignore WordPress.WP.AlternativeFunctions
	}

	/** @return array<int|string, int>|false */
	public function url_stat( string $url, int $flags ) {
		$path = self::path( $url );
		if ( null === $path ) {
			return false;
		}
		if ( is_file( $path ) ) {
			return self::shorter( stat( $path ) );
		}
		$folder = substr( $path, 0, -4 );
		return is_dir( $folder ) ? stat( $folder ) : false;
	}

	public function unlink( string $url ): bool {
		$path = self::path( $url );
		return null !== $path && is_file( $path ) && unlink( $path ); // phpcs:ignore WordPress.WP.AlternativeFunctions
	}

	public function rename( string $from, string $to ): bool {
		$from = self::path( $from );
		$to   = self::path( $to );
		return null !== $from && null !== $to && rename( $from, $to ); // phpcs:ignore WordPress.WP.AlternativeFunctions
	}

	public function mkdir( string $url, int $mode, int $options ): bool {
		$path = self::path( $url );
		return null !== $path && mkdir( substr( $path, 0, -4 ), $mode, (bool) ( $options & STREAM_MKDIR_RECURSIVE ) ); // phpcs:ignore
	}

	public function rmdir( string $url ): bool {
		$path = self::path( $url );
		return null !== $path && rmdir( substr( $path, 0, -4 ) ); // phpcs:ignore WordPress.WP.AlternativeFunctions
	}

	public function dir_opendir( string $url ): bool {
		$path   = self::path( $url );
		$folder = null === $path ? false : @opendir( substr( $path, 0, -4 ) ); // phpcs:ignore
		if ( false === $folder ) {
			return false;
		}
		$this->folder = $folder;
		return true;
	}

	/** @return string|false */
	public function dir_readdir() {
		$name = readdir( $this->folder );
		return false !== $name && '.php' === substr( $name, -4 ) ? substr( $name, 0, -4 ) : $name;
	}

	public function dir_rewinddir(): bool {
		rewinddir( $this->folder );
		return true;
	}

	public function dir_closedir(): bool {
		closedir( $this->folder );
		return true;
	}

	/** Return the path on the disk of an address, or null when it leads out of the folder. */
	private static function path( string $url ): ?string {
		if ( ! preg_match( '/\Abitcache:\/\/(\d+)\/(.+)\z/s', $url, $found ) ) {
			return null;
		}
		$rel = rtrim( $found[2], '/' );
		if ( (int) $found[1] !== get_current_blog_id() || ! Folder::is_safe( $rel ) ) {
			return null;
		}
		return Folder::root() . '/' . $rel . '.php';
	}

	/**
	 * @param array<int|string, int>|false $stat of the file on the disk.
	 * @return array<int|string, int>|false
	 */
	private static function shorter( $stat ) {
		if ( is_array( $stat ) ) {
			$stat['size'] -= strlen( Folder::GUARD );
			$stat[7]       = $stat['size'];
		}
		return $stat;
	}
}
