<?php
/**
 * Withholds paid text where posts are read from the database.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Defaults;
use Bitcache\Front\Renderer;

/**
 * Themes and other plugins read `$post->post_content` themselves; here they get the teaser.
 */
final class Data {

	/** @var bool true while a query is repeated inside `suppressed` */
	private $repeating = false;

	/** Attach the hooks. */
	public function register(): void {
		add_filter( 'the_posts', array( $this, 'posts' ), PHP_INT_MAX, 2 );
		add_filter( 'posts_pre_query', array( $this, 'suppressed' ), PHP_INT_MAX, 2 );
		add_filter( 'get_pages', array( $this, 'pages' ), PHP_INT_MAX );
		add_action( 'the_post', array( $this, 'current' ), PHP_INT_MIN );
		add_action( 'wp', array( $this, 'queried' ), PHP_INT_MIN, 0 );
		add_filter( 'content_pagination', array( $this, 'pagination' ), PHP_INT_MAX, 2 );
		add_filter( 'post_content', array( $this, 'field' ), PHP_INT_MAX, 2 );
		add_filter( 'enclosure_links', array( $this, 'enclosures' ), PHP_INT_MAX, 2 );
		add_filter( 'rss_enclosure', array( $this, 'enclosure_tag' ), PHP_INT_MAX );
		add_filter( 'atom_enclosure', array( $this, 'enclosure_tag' ), PHP_INT_MAX );
		add_filter( 'get_post_metadata', array( $this, 'footnotes' ), PHP_INT_MAX, 3 );
		add_filter( 'get_post_galleries', array( $this, 'galleries' ), PHP_INT_MAX, 2 );
		add_filter( 'xmlrpc_prepare_post', array( $this, 'xmlrpc_post' ), PHP_INT_MAX, 2 );
		add_filter( 'xmlrpc_prepare_page', array( $this, 'xmlrpc_page' ), PHP_INT_MAX, 2 );
	}

	/**
	 * Replace locked posts in the result of a query.
	 *
	 * @param \WP_Post[]|mixed $posts what the query found.
	 * @param \WP_Query|null   $query the query.
	 * @return \WP_Post[]|mixed
	 */
	public function posts( $posts, $query = null ) {
		if ( ! is_array( $posts ) || array() === $posts ) {
			return $posts;
		}
		$sold = array();
		foreach ( $posts as $post ) {
			if ( $post instanceof \WP_Post && $post->ID > 0 && ! Strip::is_internal( $post->post_type ) ) {
				$sold[] = $post;
			}
		}
		if ( array() === $sold ) {
			return $posts;
		}
		$this->prime( $sold, $query );
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
	 * @param \WP_Post[]     $posts whole posts.
	 * @param \WP_Query|null $query the query that found them.
	 */
	private function prime( array $posts, $query ): void {
		$whole = array();
		foreach ( $posts as $post ) {
			if ( ! Strip::is_copy( $post ) && ! is_preview() && ( 'attachment' === $post->post_type || Defaults::may_cost( $post ) ) ) {
				$whole[] = $post;
			}
		}
		if ( array() === $whole ) {
			return;
		}
		if ( $query instanceof \WP_Query && false === $query->get( 'cache_results' ) ) {
			return;
		}
		$terms = $query instanceof \WP_Query && false !== $query->get( 'update_post_term_cache' );
		update_post_caches( $whole, 'any', $terms, true );
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
	public function suppressed( $posts, $query ) {
		if ( $this->repeating || ! $query->get( 'suppress_filters' ) || is_admin() ) {
			return $posts;
		}
		if ( ! in_array( $query->get( 'fields' ), array( '', 'all' ), true ) || $this->is_internal_query( $query ) || ( defined( 'WP_CLI' ) && WP_CLI ) ) {
			return $posts;
		}
		if ( null === $posts ) {
			$this->repeating = true;
			try {
				$inner = new \WP_Query();
				$posts = $inner->query( $query->query_vars );
			} finally {
				$this->repeating = false;
			}
			$query->found_posts   = $inner->found_posts;
			$query->max_num_pages = $inner->max_num_pages;
		}
		return $this->posts( $posts, $query );
	}

	/** Say whether a query asks for posts that WordPress keeps for itself, only. */
	private function is_internal_query( \WP_Query $query ): bool {
		$types = (array) $query->get( 'post_type' );
		foreach ( $types as $type ) {
			if ( ! Strip::is_internal( (string) $type ) ) {
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
	public function pages( $pages ) {
		return $this->posts( $pages );
	}

	/**
	 * Take paid text out of a post that a theme sets up by itself, as `get_post` gave it.
	 *
	 * @param \WP_Post $post the post that becomes the current one.
	 */
	public function current( $post ): void {
		if ( ! $post instanceof \WP_Post || Strip::is_copy( $post ) ) {
			return;
		}
		$copy = Strip::post( $post );
		if ( $copy !== $post && isset( $GLOBALS['post'] ) && $GLOBALS['post'] === $post ) {
			$GLOBALS['post'] = $copy; // phpcs:ignore -- the hook exists to change it.
		}
	}

	/** Take paid text out of the page that WordPress found by its address, before any query has run. */
	public function queried(): void {
		global $wp_query;
		if ( $wp_query instanceof \WP_Query && $wp_query->queried_object instanceof \WP_Post ) {
			$wp_query->queried_object = Strip::post( $wp_query->queried_object );
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
	public function pagination( $pages, $post ) {
		if ( ! $post instanceof \WP_Post ) {
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
	public function field( $value, $post_id = 0 ) {
		$post = get_post( (int) $post_id );
		if ( ! $post instanceof \WP_Post || Gate::keeps( $post ) ) {
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
	public function enclosures( $links, $post_id ) {
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
	public function enclosure_tag( $tag ) {
		$post     = get_post();
		$document = $post instanceof \WP_Post ? Strip::locked( $post ) : null;
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
	public function footnotes( $value, $post_id, $key = '' ) {
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
	public function galleries( $galleries, $post ) {
		$post = get_post( $post );
		if ( ! $post instanceof \WP_Post || Gate::keeps( $post ) ) {
			return $galleries;
		}
		return null === Strip::locked( $post ) ? $galleries : array();
	}

	/**
	 * Withhold paid text in an XML-RPC answer to somebody who may not edit the post.
	 *
	 * @param array $answer the answer.
	 * @param array $post   the post as fields.
	 */
	public function xmlrpc_post( $answer, $post ) {
		return $this->xmlrpc( $answer, get_post( isset( $post['ID'] ) ? (int) $post['ID'] : 0 ) );
	}

	/**
	 * Withhold paid text in an XML-RPC answer about a page.
	 *
	 * @param array    $answer the answer.
	 * @param \WP_Post $page   the page.
	 */
	public function xmlrpc_page( $answer, $page ) {
		return $this->xmlrpc( $answer, $page );
	}

	/** Replace the texts of an XML-RPC answer. */
	private function xmlrpc( $answer, $post ) {
		if ( ! $post instanceof \WP_Post || current_user_can( 'edit_post', $post->ID ) ) {
			return $answer;
		}
		$document = Strip::locked( $post );
		if ( null === $document ) {
			return $answer;
		}
		foreach ( array( 'post_content', 'description' ) as $key ) {
			if ( isset( $answer[ $key ] ) ) {
				$answer[ $key ] = $document->public_text();
			}
		}
		foreach ( array( 'text_more', 'mt_text_more' ) as $key ) {
			if ( isset( $answer[ $key ] ) ) {
				$answer[ $key ] = '';
			}
		}
		return $answer;
	}
}
