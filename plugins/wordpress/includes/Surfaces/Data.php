<?php
/**
 * Withholds paid text where posts are read from the database.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Glance;
use Bitcache\Front\Renderer;

/**
 * Themes and other plugins read `$post->post_content` themselves; here they get the teaser.
 */
final class Data {

	/** @var bool true while a query is repeated inside `suppressed` */
	private static $repeating = false;

	/**
	 * Replace locked posts in the result of a query.
	 *
	 * @param \WP_Post[]|mixed $posts what the query found.
	 * @param \WP_Query|null   $query the query.
	 * @return \WP_Post[]|mixed
	 */
	public static function posts( $posts, $query = null ) {
		if ( ! is_array( $posts ) || array() === $posts ) {
			return $posts;
		}
		$new = array();
		foreach ( $posts as $post ) {
			// Most queries of a page are for its templates, or for what it has seen before.
			if ( $post instanceof \WP_Post && ! Glance::is_settled( $post ) ) {
				$new[] = $post;
			}
		}
		if ( array() === $new ) {
			return $posts;
		}
		self::read_prices( $new, $query );
		foreach ( $new as $post ) {
			if ( $post->ID > 0 && ! Glance::is_plain( $post ) ) {
				return self::without_paid( $posts, $query );
			}
		}
		return $posts;
	}

	/**
	 * Read prices together, as WordPress is about to do with all the fields of these posts, or has done.
	 *
	 * @param \WP_Post[]    $posts of which nothing is known.
	 * @param \WP_Query|null $query that found them.
	 */
	private static function read_prices( array $posts, $query ): void {
		$ids    = array();
		$priced = array();
		$unread = false;
		foreach ( $posts as $post ) {
			$ids[] = $post->ID;
			if ( Glance::has_prices( $post->post_type ) ) {
				$priced[] = $post->ID;
				$unread   = $unread || false === wp_cache_get( $post->ID, 'post_meta' );
			}
		}
		if ( $unread ) {
			update_meta_cache( 'post', self::reads_meta( $query ) ? $ids : $priced );
		}
	}

	/**
	 * Say whether WordPress reads the fields of the posts that a query finds.
	 *
	 * @param \WP_Query|null $query the query.
	 */
	private static function reads_meta( $query ): bool {
		return $query instanceof \WP_Query && $query->get( 'cache_results' ) && $query->get( 'update_post_meta_cache' );
	}

	/**
	 * Replace locked posts among others.
	 *
	 * @param \WP_Post[]|mixed[] $posts what the query found.
	 * @param \WP_Query|null     $query the query.
	 * @return \WP_Post[]|mixed[]
	 */
	private static function without_paid( array $posts, $query ): array {
		if ( ! is_preview() && ! ( $query instanceof \WP_Query && false === $query->get( 'cache_results' ) ) ) {
			self::keep_whole( $posts, $query );
		}
		if ( $query instanceof \WP_Query && $query->is_preview() ) {
			Preview::restore( $posts );
		}
		foreach ( $posts as $index => $post ) {
			if ( $post instanceof \WP_Post && $post->ID > 0 ) {
				$posts[ $index ] = Strip::post( $post );
			}
		}
		return $posts;
	}

	/**
	 * Put whole posts, their meta and terms into the cache before copies without paid text go out.
	 *
	 * WordPress would do the same a moment later, with what this class returns: a shortened copy must
	 * never come first.
	 *
	 * @param \WP_Post[]|mixed[] $posts what the query found.
	 * @param \WP_Query|null     $query the query.
	 */
	private static function keep_whole( array $posts, $query ): void {
		$whole = array();
		foreach ( $posts as $post ) {
			if ( $post instanceof \WP_Post && $post->ID > 0 && ! Glance::is_copy( $post ) && ! Glance::is_internal( $post->post_type ) ) {
				$whole[] = $post;
			}
		}
		if ( array() !== $whole ) {
			$terms = $query instanceof \WP_Query && false !== $query->get( 'update_post_term_cache' );
			update_post_caches( $whole, 'any', $terms, self::reads_meta( $query ) );
		}
	}

	/**
	 * Run a query that asked for no filters once more inside itself, and replace locked posts in it.
	 *
	 * `get_posts`, `wp_get_recent_posts` and `get_children` set `suppress_filters`, and their answers
	 * pass no other hook.
	 *
	 * @param \WP_Post[]|int[]|null $posts null unless another plugin has answered.
	 * @param \WP_Query             $query the query.
	 * @return \WP_Post[]|int[]|null
	 */
	public static function suppressed( $posts, $query ) {
		if ( empty( $query->query_vars['suppress_filters'] ) || self::$repeating || ! self::is_for_readers( $query ) ) {
			return $posts;
		}
		if ( null === $posts ) {
			self::$repeating = true;
			try {
				$posts = self::repeat( $query );
			} finally {
				self::$repeating = false;
			}
		}
		return self::posts( $posts, $query );
	}

	/** Say whether a query could tell a reader of what costs. */
	private static function is_for_readers( \WP_Query $query ): bool {
		if ( $query->get( 's' ) ) {
			return ! Search::may_see_all();
		}
		return ! is_admin() && ! ( defined( 'WP_CLI' ) && WP_CLI )
			&& in_array( $query->get( 'fields' ), array( '', 'all' ), true ) && ! self::is_internal_query( $query );
	}

	/**
	 * Return what a query finds; a search with its filters, for one of them is ours.
	 *
	 * @return \WP_Post[]|int[]|object[]
	 */
	private static function repeat( \WP_Query $query ): array {
		$vars = $query->query_vars;
		if ( $query->get( 's' ) ) {
			// WordPress has taken the slashes out once, and does so again.
			$vars = array( 's' => wp_slash( $vars['s'] ), 'suppress_filters' => false ) + $vars;
			// It is counted here; and what is found depends on who asks, which WordPress' cache does not know.
			$query->set( 'no_found_rows', true );
			$query->set( 'cache_results', false );
		}
		$inner = new \WP_Query();
		$inner->query( $vars );
		$query->found_posts   = $inner->found_posts;
		$query->max_num_pages = $inner->max_num_pages;
		return $inner->posts;
	}

	/** Say whether a query asks for posts that WordPress keeps for itself, only. */
	private static function is_internal_query( \WP_Query $query ): bool {
		$types = (array) $query->get( 'post_type' );
		foreach ( $types as $type ) {
			if ( ! Glance::is_internal( (string) $type ) ) {
				return false;
			}
		}
		return array() !== $types;
	}

	/**
	 * Replace locked pages in an answer of `get_pages`.
	 *
	 * @param \WP_Post[]|mixed $pages the pages.
	 * @return \WP_Post[]|mixed
	 */
	public static function pages( $pages ) {
		return self::posts( $pages );
	}

	/**
	 * Take paid text out of a post that a theme sets up by itself, as `get_post` gave it.
	 *
	 * @param \WP_Post $post the post that becomes the current one.
	 */
	public static function current( $post ): void {
		if ( ! $post instanceof \WP_Post || Glance::is_plain( $post ) ) {
			return;
		}
		$copy = Strip::post( $post );
		if ( $copy !== $post && isset( $GLOBALS['post'] ) && $GLOBALS['post'] === $post ) {
			$GLOBALS['post'] = $copy; // phpcs:ignore -- the hook exists to change it.
		}
	}

	/** Take paid text out of the page that WordPress found by its address, before any query has run. */
	public static function queried(): void {
		global $wp_query;
		$post = $wp_query instanceof \WP_Query ? $wp_query->queried_object : null;
		if ( $post instanceof \WP_Post && ! Glance::is_plain( $post ) ) {
			$wp_query->queried_object = Strip::post( $post );
		}
	}

	/**
	 * Replace the pages of a locked post by the pages of its teaser.
	 *
	 * Every `get_the_content` comes by here, for whatever post and from wherever it was read.
	 *
	 * @param string[] $pages the text, split at page breaks.
	 * @param \WP_Post $post  the post.
	 * @return string[]
	 */
	public static function pagination( $pages, $post ) {
		if ( ! $post instanceof \WP_Post || Glance::is_plain( $post ) ) {
			return $pages;
		}
		$document = Strip::locked( $post );
		if ( null === $document ) {
			return $pages;
		}
		$text = Gate::is_quiet() ? $document->public_text() : $document->teaser();
		$text = str_replace( array( '<!-- wp:nextpage -->', '<!-- /wp:nextpage -->' ), '', $text );
		$text = (string) preg_replace( '/\n?<!--nextpage-->\n?/', '<!--nextpage-->', $text );
		if ( 0 === strpos( $text, '<!--nextpage-->' ) ) {
			$text = substr( $text, 15 );
		}
		return explode( '<!--nextpage-->', $text );
	}

	/**
	 * Replace what `get_post_field` gives for display.
	 *
	 * @param string $value   the field.
	 * @param int    $post_id the post.
	 */
	public static function field( $value, $post_id = 0 ) {
		$post = get_post( (int) $post_id );
		if ( ! $post instanceof \WP_Post || Glance::is_plain( $post ) || Gate::keeps( $post ) ) {
			return $value;
		}
		$document = Strip::locked( $post );
		// With the places of walls, by which it is known where it comes from if somebody saves it.
		return null === $document ? $value : $document->teaser();
	}

	/**
	 * Keep addresses of paid sound and film out of the list of a post's enclosures.
	 *
	 * @param string[] $links   addresses in the text.
	 * @param int      $post_id the post.
	 * @return string[]
	 */
	public static function enclosures( $links, $post_id ) {
		$post     = get_post( (int) $post_id );
		$document = $post instanceof \WP_Post ? Strip::locked( $post ) : null;
		if ( null === $document ) {
			return $links;
		}
		$public = wp_extract_urls( $document->public_text() );
		return array_values( array_intersect( (array) $links, $public ) );
	}

	/**
	 * Drop an enclosure that was noted before its post had a price.
	 *
	 * @param string $tag the element of the feed.
	 */
	public static function enclosure_tag( $tag ) {
		$post     = get_post();
		$document = $post instanceof \WP_Post && ! Glance::is_plain( $post ) ? Strip::locked( $post ) : null;
		if ( null === $document || ! preg_match( '/(?:url|href)="([^"]*)"/', (string) $tag, $found ) ) {
			return $tag;
		}
		$public = wp_extract_urls( $document->public_text() );
		return in_array( html_entity_decode( $found[1], ENT_QUOTES ), $public, true ) ? $tag : '';
	}

	/**
	 * Keep footnotes of paid paragraphs back; WordPress stores them beside the text.
	 *
	 * @param mixed  $value   null unless another plugin has answered.
	 * @param int    $post_id the post.
	 * @param string $key     the name of the field.
	 */
	public static function footnotes( $value, $post_id, $key = '' ) {
		if ( 'footnotes' !== $key || Renderer::post_id() === (int) $post_id ) {
			return $value;
		}
		$post = get_post( (int) $post_id );
		if ( ! $post instanceof \WP_Post || Gate::keeps( $post ) ) {
			return $value;
		}
		$document = Strip::locked( $post );
		// All fields at once: this filter does not look at those.
		$stored = null === $document ? array() : get_post_meta( $post->ID );
		if ( null === $document || empty( $stored['footnotes'][0] ) ) {
			return $value;
		}
		$public = $document->public_text();
		$notes  = json_decode( $stored['footnotes'][0], true );
		$kept   = array();
		foreach ( is_array( $notes ) ? $notes : array() as $note ) {
			if ( ! empty( $note['id'] ) && false !== strpos( $public, 'data-fn="' . $note['id'] . '"' ) ) {
				$kept[] = $note;
			}
		}
		$text = (string) wp_json_encode( $kept );
		return array( $text );
	}

	/**
	 * Give no galleries of a locked post to themes that collect them from its text.
	 *
	 * @param array        $galleries what was found.
	 * @param int|\WP_Post $post      the post.
	 */
	public static function galleries( $galleries, $post ) {
		$post = get_post( $post );
		if ( ! $post instanceof \WP_Post || Gate::keeps( $post ) ) {
			return $galleries;
		}
		return null === Strip::locked( $post ) ? $galleries : array();
	}
}
