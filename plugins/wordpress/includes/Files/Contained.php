<?php
/**
 * Which attachments a text shows.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * By what WordPress writes into posts: ids in the JSON of blocks, in class names and in
 * shortcodes, and addresses in the uploads folder.
 */
final class Contained {

	/** @return int[] ids of attachments. */
	public static function in( string $text ): array {
		$ids = array();
		if ( preg_match_all( '/(?:wp-image-|wp-att-|attachment_|"(?:id|mediaId|attachmentId|backgroundId)":"?)(\d{1,18})/', $text, $found ) ) {
			$ids = $found[1];
		}
		// Galleries and playlists, as shortcode and as older blocks; and a file in a shortcode of ours.
		if ( preg_match_all( '/(?:\bids\s*=\s*["\']?|\binclude\s*=\s*["\']?|"ids":\[)([\d,\s"]+)/', $text, $found ) ) {
			foreach ( $found[1] as $list ) {
				array_push( $ids, ...wp_parse_id_list( str_replace( '"', '', $list ) ) );
			}
		}
		$ids = array_merge( $ids, self::by_path( Html::paths( $text ) ) );
		$ids = array_unique( array_filter( array_map( 'intval', $ids ) ) );
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
	 * @param string[] $paths below the uploads folder.
	 * @return int[]
	 */
	private static function by_path( array $paths ): array {
		$mains = array();
		$known = array();
		foreach ( $paths as $path ) {
			$full = (string) preg_replace( '/-\d+x\d+(\.[^.\/]+)\z/', '$1', $path );
			foreach ( array( $path, $full ) as $one ) {
				$mains[] = $one;
				$mains[] = (string) preg_replace( '/(\.[^.\/]+)\z/', '-scaled$1', $one );
				$mains[] = (string) preg_replace( '/(\.[^.\/]+)\z/', '-rotated$1', $one );
				$mains[] = (string) preg_replace( '/-pdf\.jpe?g\z/', '.pdf', $one );
			}
		}
		if ( Vault::is_used() && array() !== $paths ) {
			foreach ( Vault::owners( $paths ) as $ids ) {
				$known = array_merge( $known, $ids );
			}
		}
		return array_merge( $known, array_keys( Paths::owners( array_unique( $mains ), 0 ) ) );
	}
}
