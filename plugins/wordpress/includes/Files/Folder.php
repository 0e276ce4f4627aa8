<?php
/**
 * Where private files are kept.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * The folder mirrors the uploads folder: `2026/11/a.jpg` has the same path in both, so one look
 * at the disk tells whether a file is private.
 *
 * It is, in this order: what the constant BITCACHE_PRIVATE_DIR names; a folder beside the web
 * server's root, where PHP may write there; a folder in wp-content. In a folder that a web
 * server could serve every file is in its guarded form: it ends in `.php` and begins with a
 * line that makes PHP answer 404 and stop. Apache, nginx and `php -S` run such a file and send
 * nothing of it, with or without .htaccess. The folder's name is random besides.
 */
final class Folder {

	const OPTION = 'bitcache_private';

	/** Option with every folder that was ever used, not autoloaded. */
	const FORMER = 'bitcache_private_used';

	/** First bytes of a guarded file. Nothing after __halt_compiler is read as PHP. */
	const GUARD = "<?php http_response_code(404);exit;__halt_compiler();\n";

	const SCHEME = 'bitcache';

	/** @var array<int, array{path: string, guarded: bool}> by blog. */
	private static $known = array();

	/** Make `bitcache://` readable. Called before any private path is given to anybody. */
	public static function register_scheme(): void {
		if ( ! in_array( self::SCHEME, stream_get_wrappers(), true ) ) {
			stream_wrapper_register( self::SCHEME, GuardedStream::class );
		}
	}

	/**
	 * Return the path to give to functions that read and write files.
	 *
	 * @param string $rel path below the uploads folder.
	 */
	public static function file( string $rel ): string {
		if ( ! self::is_guarded() ) {
			return self::real( $rel );
		}
		self::register_scheme();
		return self::SCHEME . '://' . get_current_blog_id() . '/' . $rel;
	}

	/** Return the path on the disk. */
	public static function real( string $rel ): string {
		return self::root() . '/' . $rel . ( self::is_guarded() ? '.php' : '' );
	}

	/** Return whether a private file has this path. Needs no database. */
	public static function has( string $rel ): bool {
		return self::is_safe( $rel ) && self::exists() && is_file( self::real( $rel ) );
	}

	/**
	 * Return the path below the uploads folder of a private file's path, or null when it is none.
	 *
	 * @param string $path what `file` returned, or a path on the disk.
	 */
	public static function rel( string $path ): ?string {
		if ( ! self::exists() ) {
			return null;
		}
		$start = self::is_guarded() ? self::SCHEME . '://' . get_current_blog_id() . '/' : self::root() . '/';
		return 0 === strpos( $path, $start ) ? substr( $path, strlen( $start ) ) : null;
	}

	/** Return whether a path stays below its folder and is no hidden file. */
	public static function is_safe( string $rel ): bool {
		return '' !== $rel && '/' !== $rel[0] && false === strpos( $rel, "\0" )
			&& ! preg_match( '/(\A|\/)\.{1,2}(\/|\z)|\\\\|:\/\//', $rel );
	}

	/** Return whether files in it are in their guarded form. */
	public static function is_guarded(): bool {
		return self::here()['guarded'];
	}

	/** Return the folder of this site, without a slash at its end. It may not exist yet. */
	public static function root(): string {
		return self::here()['path'];
	}

	/** Return whether this site has chosen a folder. */
	public static function exists(): bool {
		return defined( 'BITCACHE_PRIVATE_DIR' ) || is_array( get_option( self::OPTION ) );
	}

	/**
	 * Make the folder with what keeps visitors out of it.
	 *
	 * @throws \RuntimeException when it cannot be written to.
	 */
	public static function make(): void {
		self::choose();
		$root = self::root();
		if ( ! wp_mkdir_p( $root ) || ! wp_is_writable( $root ) ) {
			/* translators: %s: path of a folder. */
			throw new \RuntimeException( esc_html( sprintf( __( 'The folder for private files cannot be written to: %s', 'bitcache' ), $root ) ) );
		}
		$used = get_option( self::FORMER );
		$used = is_array( $used ) ? $used : array();
		if ( ! isset( $used[ $root ] ) ) {
			update_option( self::FORMER, array( $root => self::is_guarded() ) + $used, false );
		}
		foreach ( self::guards() as $name => $text ) {
			$top = dirname( $root ) . '/' . $name;
			if ( ! is_file( $top ) ) {
				file_put_contents( $top, $text ); // phpcs:ignore WordPress.WP.AlternativeFunctions
			}
		}
	}

	/**
	 * Return the folders that were used before this one.
	 *
	 * @return array<string, bool> whether files in it are guarded, by path.
	 */
	public static function former(): array {
		$all = get_option( self::FORMER );
		$all = is_array( $all ) ? $all : array();
		unset( $all[ self::root() ] );
		return $all;
	}

	/** Remove the folder of this site as far as nothing is in it, before the plugin is removed. */
	public static function remove_empty(): void {
		$top = dirname( self::root() );
		if ( is_dir( self::root() ) ) {
			$inside = new \RecursiveDirectoryIterator( self::root(), \FilesystemIterator::SKIP_DOTS );
			foreach ( new \RecursiveIteratorIterator( $inside, \RecursiveIteratorIterator::CHILD_FIRST ) as $item ) {
				if ( $item->isDir() && ! $item->isLink() ) {
					@rmdir( $item->getPathname() ); // phpcs:ignore
				}
			}
			@rmdir( self::root() ); // phpcs:ignore
		}
		if ( is_dir( $top ) && array() === array_diff( scandir( $top ), array( '.', '..' ), array_keys( self::guards() ) ) ) {
			foreach ( array_keys( self::guards() ) as $name ) {
				wp_delete_file( $top . '/' . $name );
			}
			@rmdir( $top ); // phpcs:ignore
		}
	}

	/** Forget what was looked up; after the option or the site changed. */
	public static function forget(): void {
		self::$known = array();
	}

	/**
	 * Return the address at which a web server might serve a guarded file, or null when the folder
	 * is outside everything that WordPress knows to be served.
	 *
	 * @param string $rel path below the uploads folder.
	 */
	public static function address( string $rel ): ?string {
		$real = wp_normalize_path( self::real( $rel ) );
		foreach ( array( WP_CONTENT_DIR => content_url(), ABSPATH => site_url() ) as $path => $url ) {
			$path = untrailingslashit( wp_normalize_path( $path ) ) . '/';
			if ( 0 === strpos( $real, $path ) ) {
				return untrailingslashit( $url ) . '/' . implode( '/', array_map( 'rawurlencode', explode( '/', substr( $real, strlen( $path ) ) ) ) );
			}
		}
		return null;
	}

	/** @return array{path: string, guarded: bool} */
	private static function here(): array {
		$blog = get_current_blog_id();
		if ( ! isset( self::$known[ $blog ] ) ) {
			$top                  = self::top();
			self::$known[ $blog ] = array(
				'path'    => $top . '/' . $blog,
				'guarded' => self::is_served( $top ),
			);
		}
		return self::$known[ $blog ];
	}

	/** Return the folder that holds the folders of all sites. */
	private static function top(): string {
		if ( defined( 'BITCACHE_PRIVATE_DIR' ) ) {
			return untrailingslashit( wp_normalize_path( BITCACHE_PRIVATE_DIR ) );
		}
		$chosen = get_option( self::OPTION );
		if ( ! is_array( $chosen ) ) {
			return wp_normalize_path( WP_CONTENT_DIR ) . '/bitcache-private';
		}
		// A folder in wp-content moves with the site, so its name alone is kept.
		$parent = '' === $chosen['parent'] ? WP_CONTENT_DIR : $chosen['parent'];
		return untrailingslashit( wp_normalize_path( $parent ) ) . '/' . $chosen['name'];
	}

	/** Choose a folder once. */
	private static function choose(): void {
		if ( self::exists() ) {
			return;
		}
		$parent = dirname( self::served()[0] );
		foreach ( self::served() as $path ) {
			$parent = strlen( dirname( $path ) ) < strlen( $parent ) ? dirname( $path ) : $parent;
		}
		$out = strlen( $parent ) > 1 && ! self::is_served( $parent ) && wp_is_writable( $parent );
		update_option(
			self::OPTION,
			array(
				'parent' => $out ? $parent : '',
				'name'   => 'bitcache-private-' . bin2hex( random_bytes( 16 ) ),
			),
			true
		);
		self::forget();
	}

	/** Return whether a folder is below one that a web server serves. */
	private static function is_served( string $path ): bool {
		$real = realpath( $path );
		$path = wp_normalize_path( false === $real ? $path : $real ) . '/';
		foreach ( self::served() as $served ) {
			if ( 0 === strpos( $path, $served . '/' ) ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Return the folders known to be served. The web server's own root is not known on the
	 * command line, so it is worked out from the site's address as well.
	 *
	 * @return string[]
	 */
	private static function served(): array {
		$folders = array( ABSPATH, WP_CONTENT_DIR, wp_upload_dir( null, false )['basedir'] );
		$path    = untrailingslashit( (string) wp_parse_url( site_url(), PHP_URL_PATH ) );
		$home    = untrailingslashit( ABSPATH );
		if ( '' !== $path && substr( $home, -strlen( $path ) ) === $path ) {
			$folders[] = substr( $home, 0, -strlen( $path ) );
		}
		$root = isset( $_SERVER['DOCUMENT_ROOT'] ) ? sanitize_text_field( wp_unslash( $_SERVER['DOCUMENT_ROOT'] ) ) : '';
		if ( '' !== $root && '/' !== $root ) {
			$folders[] = $root;
		}
		$clean = array();
		foreach ( $folders as $folder ) {
			$real    = realpath( $folder );
			$clean[] = untrailingslashit( wp_normalize_path( false === $real ? $folder : $real ) );
		}
		return array_values( array_unique( $clean ) );
	}

	/** @return array<string, string> contents by name. */
	private static function guards(): array {
		return array(
			'.htaccess'  => "<IfModule mod_authz_core.c>\nRequire all denied\n</IfModule>\n<IfModule !mod_authz_core.c>\nDeny from all\n</IfModule>\n",
			'index.php'  => "<?php\n// Private files.\n",
			'web.config' => "<configuration><system.webServer><authorization><remove users=\"*\" roles=\"\" verbs=\"\" /><add accessType=\"Deny\" users=\"*\" /></authorization></system.webServer></configuration>\n",
		);
	}
}
