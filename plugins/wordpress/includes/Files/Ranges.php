<?php
/**
 * Which bytes of a file somebody asks for.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * RFC 9110 section 14, for one range. Several at once are answered with the whole file, which
 * the RFC allows and which keeps a request from asking for the same bytes a thousand times.
 */
final class Ranges {

	/**
	 * Return what to send: null for the whole file, array( first, last ) for a range (both
	 * included), false when nothing of it is in the file (416).
	 *
	 * @param string $header value of `Range`, "" when there is none.
	 * @param int    $size   of the file in bytes.
	 * @return int[]|false|null
	 */
	public static function parse( string $header, int $size ) {
		if ( ! preg_match( '/\Abytes[ \t]*=[ \t]*(\d{0,18})[ \t]*-[ \t]*(\d{0,18})[ \t]*\z/i', $header, $found ) ) {
			return null;
		}
		list( , $first, $last ) = $found;
		if ( '' === $first && '' === $last ) {
			return null;
		}
		if ( '' === $first ) {
			$count = min( (int) $last, $size );
			return $count > 0 ? array( $size - $count, $size - 1 ) : false;
		}
		if ( '' !== $last && (int) $last < (int) $first ) {
			return null;
		}
		if ( (int) $first >= $size ) {
			return false;
		}
		return array( (int) $first, '' === $last ? $size - 1 : min( (int) $last, $size - 1 ) );
	}

	/**
	 * Return whether a range may be sent: what the reader has is of the file as it is now.
	 *
	 * @param string $header value of `If-Range`, "" when there is none.
	 * @param string $etag   of the file, with its quotes; a strong one.
	 * @param string $date   of the file, as `Last-Modified` says it.
	 */
	public static function holds( string $header, string $etag, string $date ): bool {
		$header = trim( $header );
		return '' === $header || $header === $etag || $header === $date;
	}

	/**
	 * Return whether the reader has the file already (304).
	 *
	 * @param string $none_match value of `If-None-Match`, "" when there is none.
	 * @param string $since      value of `If-Modified-Since`; counts only without the other.
	 * @param string $etag       of the file, with its quotes.
	 * @param int    $changed    Unix seconds.
	 */
	public static function fresh( string $none_match, string $since, string $etag, int $changed ): bool {
		if ( '' !== trim( $none_match ) ) {
			foreach ( explode( ',', $none_match ) as $tag ) {
				$tag = preg_replace( '/\AW\//', '', trim( $tag ) );
				if ( '*' === $tag || $tag === $etag ) {
					return true;
				}
			}
			return false;
		}
		$time = '' === $since ? false : strtotime( $since );
		return false !== $time && $changed <= $time;
	}
}
