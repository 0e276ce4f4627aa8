<?php
/**
 * Which files belong to an attachment.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * Paths below the uploads folder. Everything that a stranger could guess is meant: the original
 * and its scaled form, every size that the metadata names, sizes that a former theme left behind
 * and the metadata forgot, other formats of each (WebP, AVIF), the pictures of a PDF's first
 * page, and what an edit in wp-admin kept for "Restore".
 */
final class Paths {

	/** Texts of the metadata that come from inside the picture, so never name a file. */
	const FOREIGN = array( 'image_meta', 'mime-type', 'mime_type', 'title', 'artist', 'album', 'comment', 'text', 'lyrics' );

	/** Return the path of a file below the uploads folder, or null when it is somewhere else. */
	public static function rel( string $path ): ?string {
		$base = wp_normalize_path( wp_upload_dir( null, false )['basedir'] ) . '/';
		$path = wp_normalize_path( $path );
		if ( 0 === strpos( $path, $base ) ) {
			$path = substr( $path, strlen( $base ) );
		} elseif ( path_is_absolute( $path ) ) {
			$path = (string) Folder::rel( $path );
		}
		return Folder::is_safe( $path ) ? $path : null;
	}

	/** Return the public path on the disk. */
	public static function shown( string $rel ): string {
		return wp_upload_dir( null, false )['basedir'] . '/' . $rel;
	}

	/** Return the public address that a file had, or would have. */
	public static function address( string $rel ): string {
		return wp_upload_dir( null, false )['baseurl'] . '/' . $rel;
	}

	/** Return the last part of a path; `basename` depends on the locale where names are not ASCII. */
	public static function name( string $path ): string {
		return (string) preg_replace( '/\A.*[\/\\\\]/s', '', $path );
	}

	/** Return the attached file's path, or null: none, on another host, outside of uploads. */
	public static function main( int $id ): ?string {
		$attached = get_post_meta( $id, '_wp_attached_file', true );
		return is_string( $attached ) && '' !== $attached ? self::rel( $attached ) : null;
	}

	/**
	 * Return every file of an attachment that exists, public or private, the attached one first.
	 *
	 * @return string[]
	 */
	public static function of( int $id ): array {
		$main = self::main( $id );
		if ( null === $main ) {
			return array();
		}
		$folder = '.' === dirname( $main ) ? '' : dirname( $main ) . '/';
		$names  = self::named( $id );
		$there  = self::there( $folder );
		$found  = array( self::name( $main ) => true );
		foreach ( $there as $name ) {
			if ( isset( $names[ $name ] ) ) {
				$found[ $name ] = true;
			}
		}
		foreach ( self::relatives( $id, $folder, $names, $there ) as $name ) {
			$found[ $name ] = true;
		}
		$paths = array();
		foreach ( array_keys( $found ) as $name ) {
			$paths[] = $folder . $name;
		}
		return $paths;
	}

	/**
	 * Return the other attachments whose attached file is one of these.
	 *
	 * @param string[] $paths of files.
	 * @return array<int, string> path by the attachment's id.
	 */
	public static function owners( array $paths, int $but ): array {
		global $wpdb;
		$owners = array();
		foreach ( array_chunk( array_values( $paths ), 200 ) as $some ) {
			$marks = implode( ',', array_fill( 0, count( $some ), '%s' ) );
			// phpcs:ignore WordPress.DB
			$rows = $wpdb->get_results( $wpdb->prepare( "SELECT post_id, meta_value FROM {$wpdb->postmeta} WHERE meta_key = '_wp_attached_file' AND post_id <> %d AND meta_value IN ($marks)", array_merge( array( $but ), $some ) ) );
			foreach ( $rows as $row ) {
				$owners[ (int) $row->post_id ] = $row->meta_value;
			}
		}
		return $owners;
	}

	/**
	 * Return the names that WordPress keeps for an attachment.
	 *
	 * @return array<string, bool>
	 */
	private static function named( int $id ): array {
		$names = array( self::name( (string) self::main( $id ) ) => true );
		foreach ( array( '_wp_attachment_metadata', '_wp_attachment_backup_sizes' ) as $key ) {
			$stored = get_post_meta( $id, $key, true );
			if ( is_array( $stored ) ) {
				self::collect( $stored, $names );
			}
		}
		return $names;
	}

	/**
	 * @param array<int|string, mixed> $data  metadata.
	 * @param array<string, bool>      $names is added to.
	 */
	private static function collect( array $data, array &$names ): void {
		foreach ( $data as $key => $value ) {
			if ( in_array( $key, self::FOREIGN, true ) ) {
				continue;
			}
			if ( is_array( $value ) ) {
				self::collect( $value, $names );
			} elseif ( is_string( $value ) && '' !== $value && false !== strpos( $value, '.' ) ) {
				$names[ self::name( $value ) ] = true;
			}
		}
	}

	/**
	 * Return the names of the files in a folder, public and private.
	 *
	 * @param string $folder below the uploads folder, with a slash at its end; "" for itself.
	 * @return string[]
	 */
	public static function there( string $folder ): array {
		$names = array();
		$spots = array( self::shown( rtrim( $folder, '/' ) ) => 0 );
		if ( Folder::exists() ) {
			$spots[ rtrim( Folder::root() . '/' . $folder, '/' ) ] = Folder::is_guarded() ? 4 : 0;
		}
		foreach ( $spots as $spot => $tail ) {
			foreach ( is_dir( $spot ) ? scandir( $spot ) : array() as $name ) {
				if ( '.' !== $name[0] && is_file( $spot . '/' . $name ) ) {
					$names[ $tail > 0 ? substr( $name, 0, -$tail ) : $name ] = true;
				}
			}
		}
		return array_map( 'strval', array_keys( $names ) );
	}

	/**
	 * Return names that follow from the known ones, but for those that are another attachment's.
	 *
	 * @param array<string, bool> $names known.
	 * @param string[]            $there in the folder.
	 * @return string[]
	 */
	private static function relatives( int $id, string $folder, array $names, array $there ): array {
		$stems = array();
		foreach ( array_keys( $names ) as $name ) {
			$stem           = (string) preg_replace( '/\.[^.]+\z/', '', (string) $name );
			$stem           = (string) preg_replace( '/-\d+x\d+\z/', '', $stem );
			$stems[ $stem ] = true;
			$stems[ (string) preg_replace( '/-(scaled|rotated|e\d{10,})\z/', '', $stem ) ] = true;
		}
		$parents = array();
		foreach ( $there as $name ) {
			if ( isset( $names[ $name ] ) || ! preg_match( '/\A(.+?)((?:-(?:scaled|rotated|e\d{10,}))*(?:-\d+x\d+)?)((?:\.[A-Za-z0-9]{2,5}){1,2})\z/', $name, $part ) ) {
				continue;
			}
			if ( isset( $stems[ $part[1] ] ) ) {
				$end              = $part[3];
				$first            = preg_replace( '/\A(\.[^.]+).*/', '$1', $end );
				$parents[ $name ] = array( $folder . $name );
				foreach ( array_unique( array( $first, $end ) ) as $ending ) {
					array_push( $parents[ $name ], $folder . $part[1] . $ending, $folder . $part[1] . '-scaled' . $ending, $folder . $part[1] . '-rotated' . $ending );
				}
			}
		}
		if ( array() === $parents ) {
			return array();
		}
		$others = array_flip( self::owners( array_unique( array_merge( ...array_values( $parents ) ) ), $id ) );
		$main   = self::main( $id );
		unset( $others[ $main ] );
		$mine = array();
		foreach ( $parents as $name => $possible ) {
			if ( array() === array_intersect( $possible, array_keys( $others ) ) ) {
				$mine[] = (string) $name;
			}
		}
		return $mine;
	}
}
