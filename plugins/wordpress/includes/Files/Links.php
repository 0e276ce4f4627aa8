<?php
/**
 * Short-lived addresses of private files.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * `?bitcache_file=<attachment>.<file>.<until>.<signature>`. One value without "&", because it
 * stands in HTML, in `srcset`, in style sheets and in the JSON of blocks, which each escape "&"
 * in another way.
 *
 * The signature binds attachment, file, end and holder: the reader's cookie, or the user who
 * edits. A link alone opens nothing, and whether the holder may read is asked again when the
 * file is asked for.
 */
final class Links {

	const QUERY = 'bitcache_file';

	/** How long a link lives, in seconds. Films are paused, and go on. */
	const LIFE       = 3600;
	const LIFE_MEDIA = 21600;

	const PURPOSE = 'bitcache.wordpress.file.v1';

	/** Holder of what everybody may read now. Such links need no cookie, and end with that. */
	const EVERYBODY = 'everybody';

	/** End of links for everybody: the year 2100, in Unix seconds. */
	const ALWAYS = 4102444800;

	/**
	 * Return the address of a file for somebody.
	 *
	 * @param int    $id     of the attachment.
	 * @param string $rel    the file's path below the uploads folder.
	 * @param string $holder as `Gate::holders` names them.
	 * @param int    $now    Unix seconds; not used where everybody may read.
	 */
	public static function make( int $id, string $rel, string $holder, int $now ): string {
		$media = preg_match( '/\A(audio|video)\//', Types::of( $rel ) );
		// Pages that everybody may read are cached for long, and the right is looked up each time.
		$until = self::EVERYBODY === $holder ? self::ALWAYS : $now + ( $media ? self::LIFE_MEDIA : self::LIFE );
		$text  = $id . '.' . self::short( $rel ) . '.' . $until;
		return home_url( '/?' . self::QUERY . '=' . $text . '.' . self::sign( $text, $holder ) );
	}

	/**
	 * Return what a link says, or null when it is not of this form. Nothing is checked yet.
	 *
	 * @return array{id: int, file: string, until: int, text: string, signature: string}|null
	 */
	public static function read( string $value ): ?array {
		if ( ! preg_match( '/\A((\d{1,18})\.([0-9a-f]{16})\.(\d{1,12}))\.([0-9a-f]{64})\z/', $value, $found ) ) {
			return null;
		}
		return array(
			'id'        => (int) $found[2],
			'file'      => $found[3],
			'until'     => (int) $found[4],
			'text'      => $found[1],
			'signature' => $found[5],
		);
	}

	/**
	 * Return the one of the holders that a link was made for, or null: forged, or somebody else's.
	 *
	 * @param array{text: string, signature: string} $link    from `read`.
	 * @param string[]                               $holders who is asking.
	 */
	public static function holder( array $link, array $holders ): ?string {
		foreach ( $holders as $holder ) {
			if ( hash_equals( self::sign( $link['text'], $holder ), $link['signature'] ) ) {
				return $holder;
			}
		}
		return null;
	}

	/** Return the name of a file inside links: 16 hex digits of its path. */
	public static function short( string $rel ): string {
		return substr( hash( 'sha256', $rel ), 0, 16 );
	}

	/** Return the signature of a link's text for one holder. The site's number is part of it. */
	private static function sign( string $text, string $holder ): string {
		$key = hash_hmac( 'sha256', self::PURPOSE, wp_salt( 'auth' ), true );
		return hash_hmac( 'sha256', get_current_blog_id() . '|' . $text . '|' . $holder, $key );
	}
}
