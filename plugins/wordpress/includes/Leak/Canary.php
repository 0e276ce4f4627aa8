<?php
/**
 * The posts that the leak test plants.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

use Bitcache\Content\Defaults;
use Bitcache\Plugin;
use Bitcache\Surfaces\PageCaches;
use Bitcache\Surfaces\PublicText;
use Bitcache\Surfaces\Strip;

/**
 * Plants random words behind walls in posts that only the test's own requests find in lists.
 *
 * The posts are written past WordPress' publishing hooks, so that no newsletter, ping or social
 * network hears of them. They go when the test ends, or by cron if it breaks off.
 */
final class Canary {

	/** Option that says which posts belong to a running test. */
	public const OPTION = Plugin::TEST_OPTION;

	/** Header by which the test's own requests are known. */
	public const HEADER = 'X-Bitcache-Leak-Test';

	/** Way of the post that costs nothing until `charge`. */
	private const LATE = 'late';

	private const CRON = 'bitcache_leak_clean';

	/** Seconds after which the cron removes what a broken test left. */
	private const LIFE = 600;

	/** Attach the hooks. */
	public function register(): void {
		add_filter( 'posts_where', array( $this, 'hide' ), PHP_INT_MAX );
		add_action( self::CRON, array( self::class, 'remove' ) );
	}

	/**
	 * Keep the test's posts out of lists that other people see.
	 *
	 * @param string $where conditions of a query.
	 */
	public function hide( $where ) {
		// Asking for an option that is not there costs a query; the list of the loaded ones does not.
		$options = wp_load_alloptions();
		$test    = isset( $options[ self::OPTION ] ) ? maybe_unserialize( $options[ self::OPTION ] ) : null;
		if ( ! is_array( $test ) || empty( $test['posts'] ) || self::is_own_request( $test ) ) {
			return $where;
		}
		global $wpdb;
		return $where . " AND {$wpdb->posts}.ID NOT IN (" . implode( ',', array_map( 'intval', $test['posts'] ) ) . ')';
	}

	/** Say whether this request was made by the test, or by who may run it on the command line. */
	private static function is_own_request( array $test ): bool {
		if ( defined( 'WP_CLI' ) && WP_CLI ) {
			return true;
		}
		$name = 'HTTP_' . strtoupper( str_replace( '-', '_', self::HEADER ) );
		$sent = isset( $_SERVER[ $name ] ) ? sanitize_text_field( wp_unslash( $_SERVER[ $name ] ) ) : '';
		return '' !== $sent && hash_equals( (string) $test['token'], $sent );
	}

	/**
	 * Plant one post for each way of locking, and last one that costs nothing yet.
	 *
	 * @return Sample[]
	 */
	public static function plant(): array {
		self::remove();
		$token = bin2hex( random_bytes( 16 ) );
		$test  = array(
			'token' => $token,
			'posts' => array(),
		);
		update_option( self::OPTION, $test, true );
		wp_schedule_single_event( time() + self::LIFE, self::CRON );
		$samples = array();
		foreach ( array( 'block', 'wrap', 'shortcode', 'price', self::LATE ) as $way ) {
			$sample    = self::sample( $way, $token );
			$samples[] = $sample;
			self::note( $sample->id );
		}
		return $samples;
	}

	/** Let the post that is free as yet cost something, as if its owner had set a price. */
	public static function charge( Sample $sample ): void {
		delete_post_meta( $sample->id, '_bitcache_free' );
		self::price( $sample->id );
		Strip::forget();
		PublicText::write( $sample->id );
		PageCaches::forget( array( $sample->id ) );
	}

	/** Remove every post of a test, also of one that broke off. */
	public static function remove(): void {
		$test = get_option( self::OPTION );
		delete_option( self::OPTION );
		wp_clear_scheduled_hook( self::CRON );
		foreach ( is_array( $test ) ? $test['posts'] : array() as $id ) {
			wp_delete_post( (int) $id, true );
		}
		if ( is_array( $test ) ) {
			SampleFile::sweep();
			Defaults::rebuild();
		}
	}

	/**
	 * Note a further post or file that belongs to the running test.
	 *
	 * @param int $id the post.
	 */
	public static function note( int $id ): void {
		$test = get_option( self::OPTION );
		if ( is_array( $test ) ) {
			$test['posts'][] = $id;
			update_option( self::OPTION, $test, true );
		}
	}

	/**
	 * Give a planted post or file a price, past the hooks that would offer it for sale.
	 *
	 * @param int $id the post.
	 */
	public static function price( int $id ): void {
		self::write( $id, '_bitcache_price', '0.05' );
		self::write( $id, '_bitcache_currency', 'USD' );
		wp_cache_delete( $id, 'post_meta' );
		// What says that posts of this kind can cost something, also where none has a mark.
		( new Defaults() )->on_post( 0, $id, '_bitcache_price' );
		( new PublicText() )->post_meta( 0, $id, '_bitcache_price' );
	}

	/**
	 * Write a field of a post past the hooks, which would offer it for sale.
	 *
	 * @param int    $id    the post.
	 * @param string $key   of the field.
	 * @param string $value of the field.
	 */
	private static function write( int $id, string $key, string $value ): void {
		global $wpdb;
		$row = array( 'post_id' => $id, 'meta_key' => $key, 'meta_value' => $value ); // phpcs:ignore WordPress.DB.SlowDBQuery -- one row, nothing is searched.
		$wpdb->insert( $wpdb->postmeta, $row );
	}

	/** Write one post. */
	private static function sample( string $way, string $token ): Sample {
		global $wpdb;
		$sample = new Sample( $way, $token );
		$now    = time() - 60;
		$row    = array(
			'post_author'       => self::author(),
			'post_date'         => wp_date( 'Y-m-d H:i:s', $now ),
			'post_date_gmt'     => gmdate( 'Y-m-d H:i:s', $now ),
			'post_modified'     => wp_date( 'Y-m-d H:i:s', $now ),
			'post_modified_gmt' => gmdate( 'Y-m-d H:i:s', $now ),
			'post_title'        => $sample->title,
			'post_name'         => $sample->slug,
			'post_content'      => $sample->content(),
			'post_status'       => 'publish',
			'post_type'         => 'post',
			'comment_status'    => 'closed',
			'ping_status'       => 'closed',
			'guid'              => home_url( '/?bitcache-leak=' . $sample->slug ),
		);
		$texts  = array_fill_keys( array( 'post_excerpt', 'to_ping', 'pinged', 'post_content_filtered' ), '' );
		$wpdb->insert( $wpdb->posts, $row + $texts );
		$sample->id = (int) $wpdb->insert_id;
		if ( self::LATE === $way ) {
			self::write( $sample->id, '_bitcache_free', '1' );
		} else {
			self::price( $sample->id );
		}
		clean_post_cache( $sample->id );
		wp_set_post_categories( $sample->id, array( (int) get_option( 'default_category' ) ) );
		Strip::forget();
		PublicText::write( $sample->id );
		$sample->url = (string) get_permalink( $sample->id );
		return $sample;
	}

	/** Return who the posts are by: the one who runs the test, else the first administrator. */
	private static function author(): int {
		$current = get_current_user_id();
		if ( $current > 0 ) {
			return $current;
		}
		$admins = get_users( array( 'role' => 'administrator', 'number' => 1, 'fields' => 'ID' ) ); // phpcs:ignore
		return $admins ? (int) $admins[0] : 1;
	}
}
