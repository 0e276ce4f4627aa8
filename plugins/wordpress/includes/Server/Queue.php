<?php
/**
 * Which posts the server has to be told of, and when.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

use Bitcache\Content\Defaults;

/**
 * Listens for changes. Few at once are told at the end of the request; many, and what failed, by WP-Cron.
 *
 * The meta `_bitcache_sync` of a post is when it is due, in Unix seconds. The option
 * `bitcache_resync` is how far a round through all posts has come: a changed default price
 * may change any of them.
 */
final class Queue {

	const META  = '_bitcache_sync';
	const ROUND = 'bitcache_resync';
	const LOCK  = 'bitcache_sync_lock';
	const HOOK  = 'bitcache_sync';

	/** Changing any of these changes what is sold. */
	const PRICING = array( '_bitcache_price', '_bitcache_currency', '_bitcache_free', '_bitcache_rules', '_bitcache_with_post' );

	/** So many are told while somebody waits. */
	const AT_ONCE = 3;

	/** How many posts one run of WP-Cron looks at, and for how long, in seconds. */
	const BATCH    = 50;
	const BUDGET_S = 20;

	/** A run that has died is over after this, in seconds. */
	const LOCK_S = 120;

	/** First and longest pause between two tries, in seconds. */
	const FIRST_PAUSE_S   = 60;
	const LONGEST_PAUSE_S = 21600;

	/** @var array<int, true> posts that changed in this request. */
	private $changed = array();

	/** Attach every hook. */
	public function register(): void {
		add_action( 'wp_after_insert_post', array( $this, 'post_saved' ), 20, 2 );
		foreach ( array( 'added', 'updated', 'deleted' ) as $deed ) {
			add_action( $deed . '_post_meta', array( $this, 'meta_changed' ), 10, 3 );
		}
		add_action( Defaults::CHANGED, array( self::class, 'all' ), 10, 0 );
		add_action( Defaults::CATEGORISED, array( $this, 'categorised' ) );
		add_action( 'update_option_bitcache_settings', array( $this, 'settings_changed' ), 10, 2 );
		add_action( 'add_option_bitcache_settings', array( self::class, 'all' ), 10, 0 );
		add_action( 'before_delete_post', array( Items::class, 'retire' ) );
		add_action( 'delete_attachment', array( Items::class, 'retire' ) );
		add_action( 'deleted_post', array( Items::class, 'leave' ) );
		add_action( 'shutdown', array( $this, 'tell' ), 5 );
		add_action( self::HOOK, array( $this, 'run' ) );
		add_action( 'bitcache_refresh', array( $this, 'run' ), 20 );
	}

	/**
	 * A post was saved, published, put into the trash, or taken out of it.
	 *
	 * @param int      $post_id of it.
	 * @param \WP_Post $post    as it is now.
	 */
	public function post_saved( $post_id, $post ): void {
		$is_copy = wp_is_post_revision( $post_id ) || wp_is_post_autosave( $post_id );
		// What was never public is no business of the server's.
		if ( ! $is_copy && ( 'publish' === get_post_status( $post ) || Items::item_ids( (int) $post_id ) ) ) {
			$this->changed[ (int) $post_id ] = true;
		}
	}

	/**
	 * Something about a post's price was changed.
	 *
	 * @param int|int[] $meta_id of the row.
	 * @param int       $post_id of the post.
	 * @param string    $key     of the meta.
	 */
	public function meta_changed( $meta_id, $post_id, $key ): void {
		if ( in_array( $key, self::PRICING, true ) ) {
			$this->post_saved( (int) $post_id, get_post( $post_id ) );
		}
	}

	/**
	 * A post has other categories.
	 *
	 * @param int $post_id of it.
	 */
	public function categorised( $post_id ): void {
		$this->post_saved( (int) $post_id, get_post( $post_id ) );
	}

	/**
	 * The site's defaults were changed.
	 *
	 * @param mixed $before as they were.
	 * @param mixed $after  as they are.
	 */
	public function settings_changed( $before, $after ): void {
		foreach ( array( 'default_price', 'default_currency', 'default_types', 'rules' ) as $name ) {
			if ( ( $before[ $name ] ?? null ) !== ( $after[ $name ] ?? null ) ) {
				self::all();
				return;
			}
		}
	}

	/** Tell the server of what changed in this request, or leave it to WP-Cron. */
	public function tell(): void {
		$ids           = array_keys( $this->changed );
		$this->changed = array();
		if ( ! $ids || ! Connection::is_connected() ) {
			return;
		}
		$now = count( $ids ) <= self::AT_ONCE && ! Health::is_resting() && ! ( defined( 'WP_IMPORTING' ) && WP_IMPORTING );
		foreach ( $ids as $post_id ) {
			if ( $now ) {
				Items::sync( $post_id );
				$now = ! Health::is_resting();
			} else {
				self::due( $post_id, time() );
			}
		}
	}

	/** Go through all posts, in batches: any of them may have another price now. */
	public static function all(): void {
		update_option( self::ROUND, '0', false );
		self::wake( time() );
	}

	/**
	 * Nothing is to be told of a post any more.
	 *
	 * @param int $post_id of it.
	 */
	public static function done( int $post_id ): void {
		delete_post_meta( $post_id, self::META );
	}

	/**
	 * Try again later: after one minute, two, four, up to six hours.
	 *
	 * @param int $post_id       of the post.
	 * @param int $attempts      how often it was tried.
	 * @param int $retry_after_s what the server asked for.
	 */
	public static function again( int $post_id, int $attempts, int $retry_after_s ): void {
		$pause = min( self::LONGEST_PAUSE_S, self::FIRST_PAUSE_S * 2 ** min( 12, $attempts - 1 ) );
		// With some chance in it, so that not all sites come back at once.
		self::due( $post_id, time() + max( $retry_after_s, $pause + wp_rand( 0, (int) ( $pause / 4 ) ) ) );
	}

	/** Tell the server of what is due. One run at a time; one that has no time left goes on later. */
	public function run(): void {
		if ( ! Connection::is_connected() || ! self::lock() ) {
			return;
		}
		$until = time() + self::BUDGET_S;
		try {
			$this->run_due( $until );
			$this->run_round( $until );
		} finally {
			delete_option( self::LOCK );
		}
		$next = self::next();
		if ( null !== $next ) {
			self::wake( $next );
		}
	}

	/**
	 * Tell of posts that are due.
	 *
	 * @param int $until when to stop, in Unix seconds.
	 */
	private function run_due( int $until ): void {
		global $wpdb;
		// phpcs:ignore WordPress.DB.DirectDatabaseQuery
		$ids = $wpdb->get_col(
			$wpdb->prepare(
				"SELECT post_id FROM {$wpdb->postmeta} WHERE meta_key = %s AND meta_value + 0 <= %d ORDER BY meta_value + 0 LIMIT %d",
				self::META,
				time(),
				self::BATCH
			)
		);
		foreach ( $ids as $post_id ) {
			if ( time() >= $until || Health::is_resting() ) {
				return;
			}
			Items::sync( (int) $post_id );
		}
	}

	/**
	 * Go on with the round through all posts.
	 *
	 * @param int $until when to stop, in Unix seconds.
	 */
	private function run_round( int $until ): void {
		global $wpdb;
		$from = get_option( self::ROUND );
		if ( false === $from ) {
			return;
		}
		$types = array_values( get_post_types( array( 'public' => true ) ) );
		$marks = implode( ',', array_fill( 0, count( $types ), '%s' ) );
		// phpcs:ignore WordPress.DB
		$ids = $wpdb->get_col(
			$wpdb->prepare(
				"SELECT ID FROM {$wpdb->posts} WHERE ID > %d AND post_type IN ($marks) AND post_status IN ('publish','inherit') ORDER BY ID LIMIT %d", // phpcs:ignore WordPress.DB
				array_merge( array( (int) $from ), $types, array( self::BATCH ) )
			)
		);
		foreach ( $ids as $post_id ) {
			if ( time() >= $until || Health::is_resting() ) {
				return;
			}
			Items::sync( (int) $post_id );
			update_option( self::ROUND, (string) $post_id, false );
		}
		if ( count( $ids ) < self::BATCH ) {
			delete_option( self::ROUND );
		}
	}

	/**
	 * Write down when a post is due.
	 *
	 * @param int $post_id of it.
	 * @param int $at      Unix seconds.
	 */
	private static function due( int $post_id, int $at ): void {
		update_post_meta( $post_id, self::META, $at );
		self::wake( $at );
	}

	/** Return when there is something to do; null for never. */
	private static function next(): ?int {
		global $wpdb;
		if ( false !== get_option( self::ROUND ) ) {
			return time() + ( Health::is_resting() ? Health::REST_S : 1 );
		}
		// phpcs:ignore WordPress.DB.DirectDatabaseQuery
		$at = $wpdb->get_var( $wpdb->prepare( "SELECT MIN(meta_value + 0) FROM {$wpdb->postmeta} WHERE meta_key = %s", self::META ) );
		return null === $at ? null : max( (int) $at, time() + ( Health::is_resting() ? Health::REST_S : 1 ) );
	}

	/**
	 * Let WP-Cron run at a time, or earlier where it will anyway.
	 *
	 * @param int $at Unix seconds.
	 */
	private static function wake( int $at ): void {
		$planned = wp_next_scheduled( self::HOOK );
		if ( $planned && $planned <= $at ) {
			return;
		}
		if ( $planned ) {
			wp_unschedule_event( $planned, self::HOOK );
		}
		wp_schedule_single_event( $at, self::HOOK );
	}

	/** Return whether this run may go on: only one process can add an option. */
	private static function lock(): bool {
		if ( (int) get_option( self::LOCK ) < time() - self::LOCK_S ) {
			delete_option( self::LOCK );
		}
		return add_option( self::LOCK, (string) time(), '', false );
	}
}
