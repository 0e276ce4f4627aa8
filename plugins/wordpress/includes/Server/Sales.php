<?php
/**
 * What each post sold, for the columns of wp-admin.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

/**
 * Asks the server once an hour which items were sold, and adds their sales up anew.
 *
 * Sums are kept with the post, in the meta `_bitcache_sales`: `count`, `msat` (what was paid, less
 * what was given back), `at` (when they were asked for), `parts` (the same for each item).
 */
final class Sales {

	const META  = '_bitcache_sales';
	const SINCE = 'bitcache_sales_since';

	/** Sales appear a few seconds after they are paid; what came while we asked is asked for again. */
	const OVERLAP_S = 600;

	/** Once a day sales of so long ago are looked at again: they may have been given back. */
	const RETURNS_S = 3024000;

	/** So many sales come with one call, and so many calls are made in one run at most. */
	const PAGE      = 100;
	const MAX_CALLS = 60;

	/** @var int calls that this run may still make. */
	private $calls = self::MAX_CALLS;

	/** Attach every hook. */
	public function register(): void {
		add_action( 'bitcache_refresh', array( $this, 'refresh' ), 30 );
	}

	/**
	 * Return what a post sold, as it was when the server was asked last.
	 *
	 * @param int $post_id of the post.
	 * @return array{count: int, msat: int, at: int}
	 */
	public static function of( int $post_id ): array {
		$stored = get_post_meta( $post_id, self::META, true );
		$stored = is_array( $stored ) ? $stored : array();
		return array(
			'count' => (int) ( $stored['count'] ?? 0 ),
			'msat'  => (int) ( $stored['msat'] ?? 0 ),
			'at'    => (int) ( $stored['at'] ?? 0 ),
		);
	}

	/** Ask what was sold since the last time, and add it up. Never throws. */
	public function refresh(): void {
		if ( ! Connection::is_connected() || Health::is_resting() ) {
			return;
		}
		$stored = get_option( self::SINCE, array() );
		$stored = is_array( $stored ) && ( $stored['site'] ?? '' ) === Connection::site_id() ? $stored : array();
		$now    = time();
		$daily  = $now - (int) ( $stored['daily'] ?? 0 ) >= DAY_IN_SECONDS;
		$since  = isset( $stored['at'] ) ? $stored['at'] - ( $daily ? self::RETURNS_S : self::OVERLAP_S ) : 0;
		try {
			foreach ( $this->sold_since( max( 0, $since ) ) as $item_id ) {
				$this->add_up( $item_id );
			}
			$kept = array(
				'site'  => Connection::site_id(),
				'at'    => $now,
				'daily' => $daily ? $now : (int) $stored['daily'],
			);
			update_option( self::SINCE, $kept, false );
		} catch ( ServerError $error ) {
			Health::note( $error, 'sales' );
		}
	}

	/**
	 * Ask what one post sold, now. Return whether the server answered.
	 *
	 * @param int $post_id of the post.
	 */
	public function refresh_post( int $post_id ): bool {
		try {
			foreach ( Items::item_ids( $post_id ) as $item_id ) {
				$this->keep( $post_id, $item_id, $this->sum( $item_id ) );
			}
		} catch ( ServerError $error ) {
			Health::note( $error, 'sales' );
			return false;
		}
		return true;
	}

	/**
	 * Add the sales of one item up, and keep the sum with its post.
	 *
	 * @param string $item_id of the item.
	 * @throws ServerError When the server does not answer.
	 */
	private function add_up( string $item_id ): void {
		$post_id = self::post_of( $item_id );
		if ( $post_id ) {
			$this->keep( $post_id, $item_id, $this->sum( $item_id ) );
		}
	}

	/**
	 * Return which items were sold since a time.
	 *
	 * @param int $since Unix seconds.
	 * @return string[]
	 * @throws ServerError When the server does not answer.
	 */
	private function sold_since( int $since ): array {
		$items = array();
		foreach ( $this->pages( array( 'since' => $since ) ) as $sale ) {
			$items[ (string) ( $sale['item'] ?? '' ) ] = true;
		}
		unset( $items[''] );
		return array_map( 'strval', array_keys( $items ) );
	}

	/**
	 * Return how often an item was sold, and for how much.
	 *
	 * @param string $item_id of the item.
	 * @return array{count: int, msat: int}
	 * @throws ServerError When the server does not answer.
	 */
	private function sum( string $item_id ): array {
		$sum = array(
			'count' => 0,
			'msat'  => 0,
		);
		foreach ( $this->pages( array( 'item' => $item_id ) ) as $sale ) {
			if ( 'paid' === ( $sale['state'] ?? '' ) ) {
				++$sum['count'];
				$sum['msat'] += (int) ( $sale['amount_msat'] ?? 0 ) - (int) ( $sale['refund_msat'] ?? 0 );
			}
		}
		return $sum;
	}

	/**
	 * Give every sale that a query finds, page by page.
	 *
	 * @param array<string, mixed> $query of GET /v1/sales.
	 * @return \Generator<int, array<string, mixed>>
	 * @throws ServerError When the server does not answer, or the run takes too long.
	 */
	private function pages( array $query ): \Generator {
		$client = new Client();
		$cursor = null;
		do {
			if ( --$this->calls < 0 ) {
				throw new ServerError( 'rate_limited' );
			}
			$page   = $client->get( '/sales', $query + array( 'limit' => self::PAGE, 'cursor' => $cursor ) );
			$cursor = $page['next_cursor'] ?? null;
			foreach ( (array) ( $page['sales'] ?? array() ) as $sale ) {
				if ( is_array( $sale ) ) {
					yield $sale;
				}
			}
		} while ( is_string( $cursor ) );
	}

	/**
	 * Keep what an item sold with its post.
	 *
	 * @param int                          $post_id of the post.
	 * @param string                       $item_id of the item.
	 * @param array{count: int, msat: int} $sum     of its sales.
	 */
	private function keep( int $post_id, string $item_id, array $sum ): void {
		$stored            = get_post_meta( $post_id, self::META, true );
		$parts             = is_array( $stored ) && is_array( $stored['parts'] ?? null ) ? $stored['parts'] : array();
		$parts[ $item_id ] = $sum;
		update_post_meta(
			$post_id,
			self::META,
			array(
				'count' => array_sum( array_column( $parts, 'count' ) ),
				'msat'  => array_sum( array_column( $parts, 'msat' ) ),
				'at'    => time(),
				'parts' => $parts,
			)
		);
	}

	/**
	 * Return the post that sells an item; 0 for none.
	 *
	 * @param string $item_id of the item.
	 */
	private static function post_of( string $item_id ): int {
		global $wpdb;
		// phpcs:ignore WordPress.DB.DirectDatabaseQuery -- WordPress has no function that finds a meta by a part of its value.
		return (int) $wpdb->get_var(
			$wpdb->prepare(
				"SELECT post_id FROM {$wpdb->postmeta} WHERE meta_key = %s AND meta_value LIKE %s LIMIT 1",
				Items::META,
				'%"' . $wpdb->esc_like( $item_id ) . '"%'
			)
		);
	}
}
