<?php
/**
 * Which authors, categories and reusable blocks matter.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

use Bitcache\Settings;

/**
 * An index in one autoloaded option, so that pages without a wall ask the database nothing.
 *
 * The truth is in the meta `bitcache_price` (and `bitcache_currency`) of users and terms and in
 * the reusable blocks themselves; the index follows whenever one of them changes.
 */
final class Defaults {

	const OPTION   = 'bitcache_defaults';
	const PRICE    = 'bitcache_price';
	const CURRENCY = 'bitcache_currency';

	/** The meta of a post that has a price of its own. */
	const OWN = '_bitcache_price';

	/** Action: a default of many posts was changed. */
	const CHANGED = 'bitcache_default_changed';

	/** Action, with its id: a post has other categories, and no more of it may have been written. */
	const CATEGORISED = 'bitcache_post_categorised';

	/** @var string|null the option as it was read last */
	private static $text = null;

	/** @var array<string, array<int, mixed>> what that means */
	private static $read = array();

	/** Attach every hook. */
	public function register(): void {
		foreach ( array( 'user', 'term' ) as $kind ) {
			foreach ( array( 'added', 'updated', 'deleted' ) as $event ) {
				add_action( $event . '_' . $kind . '_meta', array( $this, 'on_' . $kind ), 10, 3 );
			}
		}
		add_action( 'added_post_meta', array( $this, 'on_post' ), 0, 3 );
		add_action( 'updated_post_meta', array( $this, 'on_post' ), 0, 3 );
		add_action( 'set_object_terms', array( $this, 'on_categories' ), 10, 6 );
		add_action( 'deleted_term_relationships', array( $this, 'on_categories_gone' ), 10, 3 );
		add_action( 'deleted_user', array( $this, 'on_heir' ), 10, 2 );
		add_action( 'remove_user_from_blog', array( $this, 'on_heir_in_site' ), 10, 3 );
		add_action( 'save_post_wp_block', array( $this, 'on_block' ) );
		foreach ( array( 'added_post_meta', 'updated_post_meta', 'deleted_post_meta', 'update_option_bitcache_settings', 'add_option_bitcache_settings', 'update_option_' . self::OPTION, 'add_option_' . self::OPTION ) as $hook ) {
			add_action( $hook, array( Document::class, 'forget' ), 1, 0 );
		}
	}

	/**
	 * Follow a change of a user's price.
	 *
	 * @param mixed  $meta_id not used.
	 * @param int    $id      of the user.
	 * @param string $name    of the meta.
	 */
	public function on_user( $meta_id, $id, $name ): void {
		$this->follow( 'user', 'authors', (int) $id, (string) $name );
	}

	/**
	 * Follow a change of a category's price.
	 *
	 * @param mixed  $meta_id not used.
	 * @param int    $id      of the term.
	 * @param string $name    of the meta.
	 */
	public function on_term( $meta_id, $id, $name ): void {
		$this->follow( 'term', 'terms', (int) $id, (string) $name );
	}

	/**
	 * Follow a post into categories.
	 *
	 * @param int      $id       of the post.
	 * @param mixed    $terms    not used.
	 * @param string[] $now      ids of what it was given.
	 * @param string   $taxonomy which terms.
	 * @param bool     $append   not used.
	 * @param string[] $before   ids of what it had, where others are taken away.
	 */
	public function on_categories( $id, $terms, $now, $taxonomy, $append, $before ): void {
		if ( array_diff( $now, $before ) ) {
			$this->categorised( (int) $id, $taxonomy );
		}
	}

	/**
	 * Follow a post out of categories.
	 *
	 * @param int    $id       of the post.
	 * @param mixed  $gone     not used.
	 * @param string $taxonomy which terms.
	 */
	public function on_categories_gone( $id, $gone, $taxonomy ): void {
		$this->categorised( (int) $id, $taxonomy );
	}

	/**
	 * Follow posts that get another author, of whom one is deleted.
	 *
	 * @param int      $id   not used.
	 * @param int|null $heir who has the posts now.
	 */
	public function on_heir( $id, $heir ): void {
		if ( isset( self::all()['authors'][ (int) $heir ] ) ) {
			do_action( self::CHANGED );
		}
	}

	/**
	 * The same, of one that leaves a site of a network.
	 *
	 * @param int $id   of who leaves.
	 * @param int $site not used.
	 * @param int $heir who gets the posts.
	 */
	public function on_heir_in_site( $id, $site, $heir ): void {
		$this->on_heir( $id, $heir );
	}

	/** Find the reusable blocks that hold a wall, also through another one. Runs when one is saved. */
	public function on_block(): void {
		global $wpdb;
		$found  = $wpdb->get_results( "SELECT ID, post_content FROM {$wpdb->posts} WHERE post_type = 'wp_block' AND ( post_content LIKE '%bitcache%' OR post_content LIKE '%wp:%block%' )" );
		$marked = array();
		do {
			$before = count( $marked );
			foreach ( $found as $block ) {
				if ( Parser::has_markers( $block->post_content ) || array_intersect( self::refs( $block->post_content ), $marked ) ) {
					$marked[ (int) $block->ID ] = (int) $block->ID;
				}
			}
		} while ( count( $marked ) > $before );
		self::keep( array( 'blocks' => array_values( $marked ) ) );
	}

	/**
	 * Return the reusable blocks that some content names.
	 *
	 * @param string $content block markup.
	 * @return int[]
	 */
	public static function refs( string $content ): array {
		return array_map( 'intval', Refs::named( $content, 'block', 'ref' ) );
	}

	/**
	 * Say whether some content shows a reusable block that holds a wall.
	 *
	 * @param string $content block markup.
	 */
	public static function names_marked_block( string $content ): bool {
		$marked = self::all()['blocks'];
		return $marked && array_intersect( self::refs( $content ), $marked );
	}

	/**
	 * Return the types whose posts have prices of their own (null: any may have), and those whose
	 * posts can have others.
	 *
	 * @return array{0: ?string[], 1: string[]}
	 */
	public static function types(): array {
		$all      = self::all();
		$settings = Settings::stored();
		$is_given = '' !== (string) $settings['default_price'] || $all['authors'] || $all['terms'];
		return array( $all['types'], $is_given ? $settings['default_types'] : array() );
	}

	/**
	 * Say whether posts of a type can have a price that is not their own.
	 *
	 * @param string $type of posts.
	 */
	public static function concern( string $type ): bool {
		return in_array( $type, self::types()[1], true );
	}

	/**
	 * Say whether there are posts of a type that have prices of their own.
	 *
	 * @param string $type of posts.
	 */
	private static function has_prices( string $type ): bool {
		$types = self::all()['types'];
		return null === $types || in_array( $type, $types, true );
	}

	/**
	 * Note the type of a post that has got a price of its own.
	 *
	 * @param mixed  $meta_id not used.
	 * @param int    $id      of the post.
	 * @param string $name    of the meta.
	 */
	public function on_post( $meta_id, $id, $name ): void {
		if ( self::OWN === $name ) {
			self::note( (string) get_post_type( (int) $id ) );
		}
	}

	/**
	 * Note the type that a post with a price of its own has been given.
	 *
	 * @param int $id of the post.
	 */
	public static function on_clean( $id ): void {
		// Not that of the object that the hook passes on: it was read before the type was changed.
		$type = (string) get_post_type( (int) $id );
		if ( '' !== $type && ! self::has_prices( $type ) && '' !== (string) get_post_meta( (int) $id, self::OWN, true ) ) {
			self::note( $type );
			Document::forget();
		}
	}

	/** Note that posts of a type have prices of their own. */
	private static function note( string $type ): void {
		if ( '' !== $type && ! self::has_prices( $type ) ) {
			self::keep( array( 'types' => array_merge( self::all()['types'], array( $type ) ) ) );
		}
	}

	/** Read from the database which types have posts with a price of their own. */
	public static function rebuild(): void {
		global $wpdb;
		$types = $wpdb->get_col( $wpdb->prepare( "SELECT DISTINCT p.post_type FROM {$wpdb->postmeta} m JOIN {$wpdb->posts} p ON p.ID = m.post_id WHERE m.meta_key = %s AND m.meta_value <> ''", Pricing::PRICE ) );
		self::keep( array( 'types' => $types ) );
	}

	/**
	 * Return what an author's posts cost, or null.
	 *
	 * @param int $id of the user.
	 */
	public static function of_author( int $id ): ?Price {
		return self::price( self::all()['authors'][ $id ] ?? null );
	}

	/**
	 * Return the highest price of a post's categories, or null.
	 *
	 * Prices in other currencies than the first cannot be compared without a rate; the first stays.
	 *
	 * @param \WP_Post $post any post.
	 */
	public static function of_terms( \WP_Post $post ): ?Price {
		$prices  = self::all()['terms'];
		$highest = null;
		$terms   = $prices ? get_the_terms( $post, 'category' ) : array();
		foreach ( is_array( $terms ) ? $terms : array() as $term ) {
			$price = self::price( $prices[ $term->term_id ] ?? null );
			if ( null !== $price && ( null === $highest || ( $price->currency === $highest->currency && (float) $price->amount > (float) $highest->amount ) ) ) {
				$highest = $price;
			}
		}
		return $highest;
	}

	/**
	 * Write one user or term into the index, or take it out.
	 *
	 * @param string $kind  `user` or `term`.
	 * @param string $where part of the index.
	 * @param int    $id    of the user or term.
	 * @param string $name  of the meta that changed.
	 */
	private function follow( string $kind, string $where, int $id, string $name ): void {
		if ( self::PRICE !== $name && self::CURRENCY !== $name ) {
			return;
		}
		$part   = self::all()[ $where ];
		$amount = (string) get_metadata( $kind, $id, self::PRICE, true );
		unset( $part[ $id ] );
		if ( '' !== $amount ) {
			$part[ $id ] = array( $amount, (string) get_metadata( $kind, $id, self::CURRENCY, true ) );
		}
		self::keep( array( $where => $part ) );
		do_action( self::CHANGED );
	}

	/** Tell of a post that has other categories, where any category has a price. */
	private function categorised( int $id, string $taxonomy ): void {
		if ( 'category' === $taxonomy && self::all()['terms'] ) {
			Document::forget();
			do_action( self::CATEGORISED, $id );
		}
	}

	/**
	 * Return an entry as a price, or null.
	 *
	 * @param mixed $entry amount and currency.
	 */
	private static function price( $entry ): ?Price {
		if ( ! is_array( $entry ) ) {
			return null;
		}
		return Price::parse( $entry[0] ?? '', empty( $entry[1] ) ? Settings::get()['default_currency'] : $entry[1] );
	}

	/** @return array<string, array<int, mixed>> */
	private static function all(): array {
		// Asked for by every post of every page: most of the time would be in reading the text again.
		$text = wp_load_alloptions()[ self::OPTION ] ?? null;
		if ( null === $text || $text !== self::$text ) {
			self::$read = self::read( null === $text ? get_option( self::OPTION, array() ) : maybe_unserialize( $text ) );
			self::$text = $text;
		}
		return self::$read;
	}

	/**
	 * Return the index with all its parts.
	 *
	 * @param mixed $stored the option.
	 * @return array<string, array<int, mixed>>
	 */
	private static function read( $stored ): array {
		$empty = array(
			'authors' => array(),
			'terms'   => array(),
			'blocks'  => array(),
			// Null: not known, so every type may have.
			'types'   => null,
		);
		$read = is_array( $stored ) ? $stored + $empty : $empty;

		$read['types'] = is_array( $read['types'] ) ? $read['types'] : null;
		return $read;
	}

	/**
	 * Change parts of the index.
	 *
	 * @param array<string, array<int, mixed>> $changes by part.
	 */
	private static function keep( array $changes ): void {
		update_option( self::OPTION, $changes + self::all(), true );
	}
}
