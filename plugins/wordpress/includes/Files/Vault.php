<?php
/**
 * Makes attachments private and public, with a journal.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

use Bitcache\Plugin;

/**
 * The journal is the attachment's own meta: `_bitcache_vault` is "moving", "in" or "leaving", and
 * there is one `_bitcache_path` for each file, written before the first file moves. Whatever
 * stops a move, `settle` goes on where it stood, and `Check` finds what is still public.
 */
final class Vault {

	const STATE = '_bitcache_vault';
	const PATH  = '_bitcache_path';

	/** Attachment whose private file this one shares. */
	const SHARES = '_bitcache_shares';

	/** What went wrong last, in words. */
	const ERROR = '_bitcache_vault_error';

	/** Autoloaded option: "1" once this site had a private file. Without it nothing is looked up. */
	const USED = Plugin::FILES_OPTION;

	/** @var array<int, bool> attachments being moved in this request. */
	private static $busy = array();

	/** Return whether this site has, or had, private files. Costs no query. */
	public static function is_used(): bool {
		return '1' === get_option( self::USED );
	}

	/** Return whether an attachment's files are private, or are becoming it. */
	public static function has( int $id ): bool {
		return self::is_used() && '' !== (string) get_post_meta( $id, self::STATE, true );
	}

	/** @return string[] paths of an attachment's private files. */
	public static function paths( int $id ): array {
		return array_values( array_unique( array_filter( (array) get_post_meta( $id, self::PATH ), 'is_string' ) ) );
	}

	/**
	 * Bring the files of an attachment to where they belong. Return null, or what went wrong in
	 * words; then some of its files are not where they belong, and a later call goes on.
	 */
	public static function settle( int $id ): ?string {
		if ( isset( self::$busy[ $id ] ) || 'attachment' !== get_post_type( $id ) ) {
			return null;
		}
		self::$busy[ $id ] = true;
		try {
			if ( Priced::is( $id ) ) {
				self::enter( $id );
			} elseif ( '' !== (string) get_post_meta( $id, self::STATE, true ) ) {
				self::leave( $id );
			}
			delete_post_meta( $id, self::ERROR );
			return null;
		} catch ( \RuntimeException $error ) {
			update_post_meta( $id, self::ERROR, wp_slash( $error->getMessage() ) );
			return $error->getMessage();
		} finally {
			unset( self::$busy[ $id ] );
		}
	}

	/** Make an attachment's files public again whatever they cost; before the plugin is removed. */
	public static function release( int $id ): void {
		self::$busy[ $id ] = true;
		foreach ( self::paths( $id ) as $rel ) {
			Mover::show( $rel );
		}
		foreach ( array( self::PATH, self::STATE, self::ERROR, self::SHARES ) as $key ) {
			delete_post_meta( $id, $key );
		}
		Preview::delete( $id );
	}

	/**
	 * Forget an attachment that is being deleted, and delete its private files, but for those
	 * that another attachment shares.
	 *
	 * @param string[] $paths as they were before its meta was deleted.
	 */
	public static function drop( int $id, array $paths ): void {
		$others = Paths::owners( $paths, $id );
		$owners = self::owners( $paths );
		foreach ( $paths as $rel ) {
			$kept = in_array( $rel, $others, true ) || array() !== array_diff( $owners[ $rel ] ?? array(), array( $id ) );
			if ( ! $kept && Folder::has( $rel ) ) {
				wp_delete_file( Folder::real( $rel ) );
			}
		}
		foreach ( self::sharing( $id ) as $other ) {
			delete_post_meta( $other, self::SHARES, $id );
			self::settle( $other );
		}
	}

	/** Give an attachment that was made of a private file, such as a translation, the same rules. */
	public static function adopt( int $id ): void {
		$main = self::is_used() ? Paths::main( $id ) : null;
		foreach ( null !== $main && Folder::has( $main ) ? self::owners( array( $main ) ) : array() as $owners ) {
			foreach ( array_diff( $owners, array( $id ) ) as $owner ) {
				self::settle( $owner );
			}
		}
	}

	/** @return int[] attachments that share a file with this one because this one is private. */
	public static function sharing( int $id ): array {
		global $wpdb;
		// phpcs:ignore WordPress.DB
		return array_map( 'intval', $wpdb->get_col( $wpdb->prepare( "SELECT post_id FROM {$wpdb->postmeta} WHERE meta_key = %s AND meta_value = %s", self::SHARES, (string) $id ) ) );
	}

	/**
	 * Return the attachments that these private files belong to.
	 *
	 * @param string[] $paths below the uploads folder.
	 * @return array<string, int[]> ids by path.
	 */
	public static function owners( array $paths ): array {
		global $wpdb;
		$owners = array();
		foreach ( array_chunk( array_values( array_unique( $paths ) ), 200 ) as $some ) {
			$marks = implode( ',', array_fill( 0, count( $some ), '%s' ) );
			// phpcs:ignore WordPress.DB
			$rows = $wpdb->get_results( $wpdb->prepare( "SELECT post_id, meta_value FROM {$wpdb->postmeta} WHERE meta_key = %s AND meta_value IN ($marks)", array_merge( array( self::PATH ), $some ) ) );
			foreach ( $rows as $row ) {
				$owners[ $row->meta_value ][] = (int) $row->post_id;
			}
		}
		return $owners;
	}

	/** @throws \RuntimeException when a file is still public. */
	private static function enter( int $id ): void {
		if ( null === Paths::main( $id ) ) {
			return;
		}
		Folder::make();
		update_option( self::USED, '1', true );
		$known = self::paths( $id );
		foreach ( $known as $rel ) {
			Mover::bring( $rel );
		}
		$paths = Paths::of( $id );
		$fresh = array_diff( $paths, $known );
		$open  = array_filter( $paths, array( self::class, 'is_public' ) );
		if ( array() === $fresh && array() === $open && 'in' === get_post_meta( $id, self::STATE, true ) ) {
			self::share( $id, $paths );
			return;
		}
		Probe::demand();
		update_post_meta( $id, self::STATE, 'moving' );
		foreach ( $fresh as $rel ) {
			add_post_meta( $id, self::PATH, wp_slash( $rel ) );
		}
		$error = null;
		foreach ( $open as $rel ) {
			try {
				self::demand_free( $id, $rel );
				Mover::hide( $rel );
			} catch ( \RuntimeException $caught ) {
				// The others are made private all the same.
				$error = $caught;
			}
		}
		self::share( $id, $paths );
		if ( null !== $error ) {
			throw $error;
		}
		update_post_meta( $id, self::STATE, 'in' );
		Preview::make( $id );
		Purge::all( $id );
	}

	/** @throws \RuntimeException when a file could not be moved back. */
	private static function leave( int $id ): void {
		update_post_meta( $id, self::STATE, 'leaving' );
		$others = self::owners( self::paths( $id ) );
		foreach ( self::paths( $id ) as $rel ) {
			$kept = false;
			foreach ( $others[ $rel ] ?? array() as $other ) {
				$kept = $kept || ( $other !== $id && Priced::is( $other, $id ) );
			}
			if ( ! $kept ) {
				Mover::show( $rel );
			}
			delete_post_meta( $id, self::PATH, wp_slash( $rel ) );
		}
		delete_post_meta( $id, self::STATE );
		Preview::delete( $id );
		foreach ( self::sharing( $id ) as $other ) {
			delete_post_meta( $other, self::SHARES, $id );
			self::settle( $other );
		}
		Purge::all( $id );
	}

	/**
	 * Give other attachments with the same files the same rules.
	 *
	 * @param string[] $paths of this attachment.
	 */
	private static function share( int $id, array $paths ): void {
		foreach ( array_keys( Paths::owners( $paths, $id ) ) as $other ) {
			$known = array_map( 'intval', get_post_meta( $other, self::SHARES ) );
			if ( ! in_array( $id, $known, true ) && ! in_array( $other, array_map( 'intval', get_post_meta( $id, self::SHARES ) ), true ) ) {
				add_post_meta( $other, self::SHARES, $id );
				self::settle( $other );
			}
		}
	}

	/**
	 * See that a move does not write over the private file of another attachment.
	 *
	 * @throws \RuntimeException when there is another file under this name.
	 */
	private static function demand_free( int $id, string $rel ): void {
		if ( ! Folder::has( $rel ) || array() === array_diff( self::owners( array( $rel ) )[ $rel ] ?? array(), array( $id ) ) ) {
			return;
		}
		if ( hash_file( 'sha256', Paths::shown( $rel ) ) !== hash_file( 'sha256', Folder::file( $rel ) ) ) {
			/* translators: %s: path of a file. */
			throw new \RuntimeException( esc_html( sprintf( __( 'Another private file has this name already; upload this one again: %s', 'bitcache' ), $rel ) ) );
		}
	}

	/** Return whether a file can be fetched from the uploads folder. */
	private static function is_public( string $rel ): bool {
		$path = Paths::shown( $rel );
		clearstatcache( true, $path );
		return is_file( $path );
	}
}
