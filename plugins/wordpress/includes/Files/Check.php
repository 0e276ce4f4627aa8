<?php
/**
 * Finds files that are not where they belong, and mends that.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * For WP-CLI, the hourly cron and the leak test. Looks at the disk, not at what was written down.
 */
final class Check {

	/** What can be wrong. */
	const PUBLIC_FILE = 'public';
	const MISSING     = 'missing';
	const UNFINISHED  = 'unfinished';
	const NEEDLESS    = 'needless';
	const ORPHAN      = 'orphan';
	const SERVED      = 'served';

	/** Option with the last attachment that the hourly look came to. */
	const AT = 'bitcache_files_at';

	/** Attachments looked at in one hour. */
	const BATCH = 50;

	/** Attach every hook. */
	public function register(): void {
		add_action( 'bitcache_refresh', array( self::class, 'finish' ), 30 );
		add_action( 'bitcache_refresh', array( Handover::class, 'look' ), 31 );
		add_action( 'add_option_bitcache_settings', array( Handover::class, 'look' ), 20, 0 );
		add_action( 'update_option_bitcache_settings', array( Handover::class, 'look' ), 20, 0 );
		add_action( 'bitcache_uninstall', array( self::class, 'release' ) );
	}

	/** Go on with what did not finish, and look at some of the others each time. */
	public static function finish(): void {
		if ( ! Vault::is_used() && ! Folder::exists() ) {
			return;
		}
		foreach ( self::with_meta( array( Vault::ERROR, Vault::STATE ), " AND ( meta_key = '" . Vault::ERROR . "' OR meta_value <> 'in' )" ) as $id ) {
			Vault::settle( $id );
		}
		// Another plugin may have written beside the old place of any of them.
		$after = (int) get_option( self::AT, 0 );
		$some  = self::with_meta( array( Vault::STATE ), ' AND post_id > ' . $after, self::BATCH );
		foreach ( $some as $id ) {
			Vault::settle( $id );
		}
		update_option( self::AT, count( $some ) < self::BATCH ? 0 : (int) end( $some ), false );
	}

	/**
	 * Return what is wrong, as rows of kind, attachment (0: none) and path below uploads.
	 *
	 * @return array<int, array{kind: string, id: int, path: string}>
	 */
	public static function run(): array {
		$wrong = array();
		foreach ( self::concerned() as $id ) {
			$priced = Priced::is( $id );
			$state  = (string) get_post_meta( $id, Vault::STATE, true );
			if ( ! $priced ) {
				if ( '' !== $state ) {
					$wrong[] = self::row( self::NEEDLESS, $id, (string) Paths::main( $id ) );
				}
				continue;
			}
			foreach ( Paths::of( $id ) as $rel ) {
				if ( is_file( Paths::shown( $rel ) ) ) {
					$wrong[] = self::row( self::PUBLIC_FILE, $id, $rel );
				}
			}
			$main = Paths::main( $id );
			if ( null !== $main && ! Folder::has( $main ) && ! is_file( Paths::shown( $main ) ) ) {
				$wrong[] = self::row( self::MISSING, $id, $main );
			} elseif ( 'in' !== $state && null !== $main ) {
				$wrong[] = self::row( self::UNFINISHED, $id, $main );
			}
		}
		foreach ( self::orphans() as $rel ) {
			$wrong[] = self::row( self::ORPHAN, 0, $rel );
		}
		if ( Folder::exists() && is_dir( Folder::root() ) && Probe::is_open() ) {
			$wrong[] = self::row( self::SERVED, 0, Folder::root() );
		}
		return $wrong;
	}

	/**
	 * Bring every file to where it belongs.
	 *
	 * @return array<int, string> what went wrong, by attachment.
	 */
	public static function repair(): array {
		$failed = array();
		foreach ( self::concerned() as $id ) {
			$error = Vault::settle( $id );
			if ( null !== $error ) {
				$failed[ $id ] = $error;
			}
		}
		return $failed;
	}

	/** Make every file public again; before the plugin is removed for good. */
	public static function release(): void {
		foreach ( self::with_meta( array( Vault::STATE ) ) as $id ) {
			try {
				Vault::release( $id );
			} catch ( \RuntimeException $error ) {
				// It stays where it is; the others go back.
				continue;
			}
		}
		if ( Folder::exists() ) {
			Folder::remove_empty();
		}
	}

	/** @return int[] attachments that cost, or whose files are private. */
	private static function concerned(): array {
		$ids = self::with_meta( array( Vault::STATE, Vault::ERROR, '_bitcache_price', Priced::WITH, Priced::IN, Vault::SHARES ) );
		_prime_post_caches( $ids, false, true );
		return array_values(
			array_filter(
				$ids,
				static function ( int $id ): bool {
					return 'attachment' === get_post_type( $id );
				}
			)
		);
	}

	/**
	 * @param string[] $keys of meta.
	 * @param string   $and  more conditions, none of them from outside.
	 * @param int      $most how many at most.
	 * @return int[]
	 */
	private static function with_meta( array $keys, string $and = '', int $most = PHP_INT_MAX ): array {
		global $wpdb;
		$marks = implode( ',', array_fill( 0, count( $keys ), '%s' ) );
		// nosemgrep: values-in-prepared-sql -- conditions of this class, without values.
		return array_map( 'intval', $wpdb->get_col( $wpdb->prepare( "SELECT DISTINCT post_id FROM {$wpdb->postmeta} WHERE meta_key IN ($marks) $and ORDER BY post_id LIMIT %d", array_merge( $keys, array( $most ) ) ) ) );
	}

	/** @return string[] private files that no attachment names. */
	private static function orphans(): array {
		$found = array();
		if ( ! Folder::exists() || ! is_dir( Folder::root() ) ) {
			return $found;
		}
		$files = new \RecursiveIteratorIterator( new \RecursiveDirectoryIterator( Folder::root(), \FilesystemIterator::SKIP_DOTS ) );
		foreach ( $files as $file ) {
			$rel = substr( wp_normalize_path( $file->getPathname() ), strlen( Folder::root() ) + 1 );
			if ( ! Folder::is_guarded() || '.php' === substr( $rel, -4 ) ) {
				$found[] = Folder::is_guarded() ? substr( $rel, 0, -4 ) : $rel;
			}
		}
		return array_values( array_diff( $found, array_keys( Vault::owners( $found ) ) ) );
	}

	/** @return array{kind: string, id: int, path: string} */
	private static function row( string $kind, int $id, string $path ): array {
		return array(
			'kind' => $kind,
			'id'   => $id,
			'path' => $path,
		);
	}
}
