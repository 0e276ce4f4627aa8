<?php
/**
 * Which attachments cost, and with what.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

use Bitcache\Content\Document;
use Bitcache\Content\Price;
use Bitcache\Settings;

/**
 * An attachment costs when it has a price of its own, when it stands in a paid part of a post, or
 * when the owner ticked "sold with its post". Whoever may read one of these may fetch it.
 */
final class Priced {

	/** Key of the part that an attachment with its own price is. */
	const KEY = 'file';

	/** "1": sold with the post that it was uploaded to. "0": free, also inside a paid part. */
	const WITH = '_bitcache_with_post';

	/** One row "<post>:<part>" for each paid part that it stands in; kept by `Keeper`. */
	const IN = '_bitcache_in_parts';

	/** Return the attachment's own price, or null. */
	public static function price( int $id ): ?Price {
		$amount = get_post_meta( $id, '_bitcache_price', true );
		if ( ! is_string( $amount ) || '' === $amount || '1' === (string) get_post_meta( $id, '_bitcache_free', true ) ) {
			return null;
		}
		$currency = (string) get_post_meta( $id, '_bitcache_currency', true );
		return Price::parse( $amount, '' === $currency ? Settings::get()['default_currency'] : $currency );
	}

	/** Return whether an attachment costs, not counting that it shares a file with `$but`. */
	public static function is( int $id, int $but = 0 ): bool {
		return array() !== self::reasons( $id, $but );
	}

	/**
	 * Return what opens an attachment: any of these parts.
	 *
	 * @param int $id  of the attachment.
	 * @param int $but attachment whose shared file does not count.
	 * @return array<int, array{0: int, 1: string}> post and part's key.
	 */
	public static function reasons( int $id, int $but = 0 ): array {
		$reasons = self::own( $id );
		foreach ( (array) get_post_meta( $id, Vault::SHARES ) as $other ) {
			$other = (int) $other;
			if ( $other !== $but && $other !== $id ) {
				$reasons = array_merge( $reasons, self::own( $other ) );
			}
		}
		return $reasons;
	}

	/** @return array<int, array{0: int, 1: string}> */
	private static function own( int $id ): array {
		$reasons = null === self::price( $id ) ? array() : array( array( $id, self::KEY ) );
		$with    = (string) get_post_meta( $id, self::WITH, true );
		if ( '0' === $with ) {
			return $reasons;
		}
		foreach ( (array) get_post_meta( $id, self::IN ) as $row ) {
			if ( is_string( $row ) && preg_match( '/\A(\d+):([a-z0-9-]{1,32})\z/', $row, $found ) ) {
				$reasons[] = array( (int) $found[1], $found[2] );
			}
		}
		$parent = '1' === $with ? get_post( (int) wp_get_post_parent_id( $id ) ) : null;
		if ( $parent instanceof \WP_Post && $parent->ID !== $id ) {
			foreach ( array_keys( Document::of( $parent )->parts() ) as $key ) {
				$reasons[] = array( $parent->ID, (string) $key );
			}
		}
		return $reasons;
	}
}
