<?php
/**
 * What readers have bought on this site.
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

use Bitcache\Store\Schema;

/**
 * The table of purchases. A row opens a part for a reader, whatever becomes of the keys that
 * signed the grant.
 */
final class Purchases {

	/**
	 * Return a reader's purchase of a part that has not ended, or null.
	 *
	 * @param Reader $reader  who asks.
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 * @param int    $now     Unix seconds.
	 * @return object|null the row.
	 */
	public static function find( Reader $reader, int $post_id, string $key, int $now ): ?object {
		global $wpdb;
		if ( ! $reader->is_known() ) {
			return null;
		}
		$table = Schema::purchases();
		// phpcs:ignore -- the table's name is ours.
		return $wpdb->get_row( $wpdb->prepare( "SELECT * FROM $table WHERE reader_hash = %s AND post_id = %d AND part_key = %s AND ( expires_at IS NULL OR expires_at > %d ) ORDER BY id DESC LIMIT 1", $reader->hash(), $post_id, $key, $now ) );
	}

	/**
	 * Keep a purchase, in the place of an earlier one of the same item.
	 *
	 * @param Reader $reader     who bought it; must have a name.
	 * @param int    $post_id    the post.
	 * @param string $key        the part.
	 * @param string $grant      that was shown.
	 * @param Claims $claims     of the grant.
	 * @param int    $checked_at when the server was last asked; 0 for never.
	 * @param int    $now        Unix seconds.
	 */
	public static function keep( Reader $reader, int $post_id, string $key, string $grant, Claims $claims, int $checked_at, int $now ): void {
		global $wpdb;
		// One statement: two tabs may arrive at once.
		$wpdb->query(
			$wpdb->prepare(
				'INSERT INTO ' . Schema::purchases() . ' (reader_hash, item_id, part_key, post_id, grant_text, holder, paid_msat, expires_at, checked_at, created_at) VALUES (%s, %s, %s, %d, %s, %s, %d, NULLIF(%d, 0), %d, %d) ON DUPLICATE KEY UPDATE part_key = VALUES(part_key), post_id = VALUES(post_id), grant_text = VALUES(grant_text), holder = VALUES(holder), paid_msat = VALUES(paid_msat), expires_at = VALUES(expires_at), checked_at = VALUES(checked_at)',
				$reader->hash(),
				$claims->item,
				$key,
				$post_id,
				$grant,
				$claims->holder,
				$claims->price_msat,
				(int) $claims->expires_at,
				$checked_at,
				$now
			)
		);
	}

	/**
	 * Write down that the server was asked.
	 *
	 * @param int $id  of the row.
	 * @param int $now Unix seconds.
	 */
	public static function checked( int $id, int $now ): void {
		global $wpdb;
		$wpdb->update( Schema::purchases(), array( 'checked_at' => $now ), array( 'id' => $id ), '%d', '%d' );
	}

	/**
	 * Forget what was undone or given back: everything that came with the same grant.
	 *
	 * @param string $item_id the item.
	 * @param string $holder  who had it.
	 */
	public static function revoke( string $item_id, string $holder ): void {
		global $wpdb;
		if ( '' !== $item_id && '' !== $holder ) {
			$wpdb->delete(
				Schema::purchases(),
				array(
					'item_id' => $item_id,
					'holder'  => $holder,
				),
				'%s'
			);
		}
	}

	/**
	 * Forget one reader's purchase of a part.
	 *
	 * @param Reader $reader  whose it was.
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 */
	public static function forget( Reader $reader, int $post_id, string $key ): void {
		global $wpdb;
		if ( $reader->is_known() ) {
			$wpdb->delete(
				Schema::purchases(),
				array(
					'reader_hash' => $reader->hash(),
					'post_id'     => $post_id,
					'part_key'    => $key,
				),
				array( '%s', '%d', '%s' )
			);
		}
	}

	/**
	 * Give a purchase to the reader whose cookie arrived later.
	 *
	 * @param string $from hash of the name that it was kept under.
	 * @param Reader $to   whose it is.
	 */
	public static function move( string $from, Reader $to ): void {
		global $wpdb;
		if ( '' !== $from && $to->is_known() && $from !== $to->hash() ) {
			$table = Schema::purchases();
			// phpcs:ignore -- the table's name is ours.
			$wpdb->query( $wpdb->prepare( "UPDATE IGNORE $table SET reader_hash = %s WHERE reader_hash = %s", $to->hash(), $from ) );
		}
	}
}
