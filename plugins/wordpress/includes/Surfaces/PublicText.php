<?php
/**
 * Keeps the public text of each priced post beside it, for searching.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Defaults;
use Bitcache\Content\Document;
use Bitcache\Content\Glance;
use Bitcache\Settings;

/**
 * Writes the meta field `_bitcache_public_text`: what a search may look through.
 *
 * A post without the field that may cost is found by its title and excerpt only, so a site whose
 * list is not finished hides too much rather than too little.
 */
final class PublicText {

	public const META = '_bitcache_public_text';

	/** Value of the field of a post that was looked at and costs nothing. */
	public const OPEN = '[open]';

	/** Option: '' while each paid text has a mark or a price of its own, '1' where defaults decide. */
	public const UNMARKED = 'bitcache_unmarked';

	/** Cron hook that goes on with the list. */
	private const CRON = 'bitcache_index';

	/** Posts that one run of the cron looks at. */
	private const BATCH = 200;

	/** Meta fields of a post that change what is public. */
	private const FIELDS = array( '_bitcache_price', '_bitcache_currency', '_bitcache_free', '_bitcache_rules' );

	/** @var array<int,bool> posts to look at when the request ends; true where the price has changed */
	private $changed = array();

	/** @var bool whether a default has changed */
	private $is_all_changed = false;

	/** Attach the hooks. */
	public function register(): void {
		add_action( 'wp_after_insert_post', array( $this, 'later' ) );
		foreach ( array( 'added_post_meta', 'updated_post_meta', 'deleted_post_meta' ) as $hook ) {
			add_action( $hook, array( $this, 'post_meta' ), 10, 3 );
		}
		add_action( Defaults::CHANGED, array( $this, 'restart' ) );
		add_action( Defaults::CATEGORISED, array( $this, 'again' ) );
		add_action( 'add_option_bitcache_settings', array( $this, 'restart' ) );
		add_action( 'update_option_bitcache_settings', array( $this, 'restart' ) );
		add_action( 'shutdown', array( $this, 'flush' ), 1 );
		add_action( self::CRON, array( $this, 'run' ), 10, 1 );
	}

	/**
	 * Note a post to be looked at when the request ends, when its fields and terms are saved too.
	 *
	 * @param int $post_id the post.
	 */
	public function later( $post_id ): void {
		$this->changed += array( (int) $post_id => false );
	}

	/**
	 * Note a post whose price or rules changed.
	 *
	 * @param int|int[] $meta_id ids of the fields.
	 * @param int       $post_id the post.
	 * @param string    $key     the field's name.
	 */
	public function post_meta( $meta_id, $post_id, $key ): void {
		if ( in_array( $key, self::FIELDS, true ) ) {
			$this->again( $post_id );
			if ( '_bitcache_price' === $key && '' === self::unmarked() ) {
				update_option( self::UNMARKED, 'posts', true );
			}
		}
	}

	/**
	 * Note a post that may cost something else now; caches of pages may not have seen it.
	 *
	 * @param int $post_id the post.
	 */
	public function again( $post_id ): void {
		Strip::forget();
		$this->changed[ (int) $post_id ] = true;
	}

	/** Find out whether posts can cost without a mark, and begin the list again. */
	public function restart(): void {
		Strip::forget();
		update_option( self::UNMARKED, $this->count(), true );
		// What cost nothing may cost something now, and the cron may be late.
		delete_metadata( 'post', 0, self::META, self::OPEN, true );
		$this->is_all_changed = true;
		if ( ! wp_next_scheduled( self::CRON, array( 0 ) ) ) {
			wp_schedule_single_event( time(), self::CRON, array( 0 ) );
		}
	}

	/** Return what the option says, without a query where it is not there. */
	public static function unmarked(): string {
		$options = wp_load_alloptions();
		return isset( $options[ self::UNMARKED ] ) ? (string) $options[ self::UNMARKED ] : '';
	}

	/** Find out: 'all' where defaults decide, 'posts' where single posts have a price, else ''. */
	private function count(): string {
		global $wpdb;
		$settings = Settings::get();
		if ( ! empty( $settings['default_price'] ) ) {
			return 'all';
		}
		foreach ( array( $wpdb->usermeta, $wpdb->termmeta ) as $table ) {
			// phpcs:ignore -- the table's name is WordPress' own.
			if ( $wpdb->get_var( "SELECT 1 FROM {$table} WHERE meta_key = 'bitcache_price' AND meta_value <> '' LIMIT 1" ) ) {
				return 'all';
			}
		}
		$priced = $wpdb->get_var( "SELECT 1 FROM {$wpdb->postmeta} WHERE meta_key = '_bitcache_price' AND meta_value <> '' LIMIT 1" );
		return $priced ? 'posts' : '';
	}

	/** Look at every post that changed in this request. */
	public function flush(): void {
		$changed       = $this->changed;
		$this->changed = array();
		foreach ( array_keys( $changed ) as $id ) {
			self::write( $id );
		}
		if ( $this->is_all_changed ) {
			PageCaches::forget_all();
		} elseif ( in_array( true, $changed, true ) ) {
			PageCaches::forget( array_keys( array_filter( $changed ) ) );
		}
		$this->is_all_changed = false;
	}

	/**
	 * Go on with the list, and plan the next run.
	 *
	 * @param int $after the last id that was looked at.
	 */
	public function run( $after = 0 ): void {
		global $wpdb;
		$ids = array_map(
			'intval',
			$wpdb->get_col(
				$wpdb->prepare(
					"SELECT ID FROM {$wpdb->posts} WHERE ID > %d AND post_status = 'publish' AND post_type <> 'attachment' ORDER BY ID LIMIT %d",
					(int) $after,
					self::BATCH
				)
			)
		);
		_prime_post_caches( $ids, true, true );
		foreach ( $ids as $id ) {
			self::write( $id );
		}
		if ( count( $ids ) === self::BATCH ) {
			wp_schedule_single_event( time(), self::CRON, array( end( $ids ) ) );
		}
	}

	/**
	 * Write or remove the field of one post.
	 *
	 * @param int $post_id the post.
	 */
	public static function write( int $post_id ): void {
		$post = get_post( $post_id );
		if ( ! $post instanceof \WP_Post || wp_is_post_revision( $post ) || Glance::is_internal( $post->post_type ) ) {
			return;
		}
		$document = Document::of( $post );
		if ( $document->is_locked() ) {
			update_post_meta( $post_id, self::META, wp_slash( $document->public_text() ) );
		} elseif ( 'all' === self::unmarked() ) {
			update_post_meta( $post_id, self::META, self::OPEN );
		} else {
			delete_post_meta( $post_id, self::META );
		}
	}
}
