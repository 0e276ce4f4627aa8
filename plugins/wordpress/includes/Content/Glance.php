<?php
/**
 * The first look at a post.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

use Bitcache\Plugin;

/**
 * Says of each post of every page whether anything of it could cost.
 *
 * Of most posts nothing does: for them neither the parser nor anything else that withholds is
 * loaded, and the database is asked nothing that WordPress does not ask anyway.
 */
final class Glance {

	/** Kinds of posts that WordPress keeps for itself; they are never sold. */
	private const INTERNAL = array(
		'nav_menu_item'       => true,
		'wp_template'         => true,
		'wp_template_part'    => true,
		'wp_global_styles'    => true,
		'wp_navigation'       => true,
		'wp_font_family'      => true,
		'wp_font_face'        => true,
		'custom_css'          => true,
		'customize_changeset' => true,
		'oembed_cache'        => true,
		'user_request'        => true,
	);

	/** @var array<int, string> texts of which nothing costs, by post */
	private static $plain = array();

	/** @var array{0: ?string[], 1: string[]}|null what `Defaults` says of all types; null if not asked yet */
	private static $types = null;

	/** Forget what was seen: prices or settings changed, or another site of the network has its turn. */
	public static function forget(): void {
		self::$plain = array();
		self::$types = null;
	}

	/** Say whether WordPress keeps this kind of post for itself. */
	public static function is_internal( string $type ): bool {
		return isset( self::INTERNAL[ $type ] );
	}

	/** Say whether a post is a shortened copy. Not by `isset`, which would ask the database for a field. */
	public static function is_copy( \WP_Post $post ): bool {
		return property_exists( $post, 'bitcache_teaser' );
	}

	/** Say whether nothing of a post can cost, or was found to: what needs no other look. */
	public static function is_settled( \WP_Post $post ): bool {
		return self::is_internal( $post->post_type )
			|| ( 'attachment' !== $post->post_type && ( self::$plain[ $post->ID ] ?? null ) === $post->post_content );
	}

	/** Say whether everybody may have a post as it is, the words beside a file included. */
	public static function is_plain( \WP_Post $post ): bool {
		return 'attachment' !== $post->post_type && ! self::may_cost( $post );
	}

	/**
	 * Say whether a post may cost something; if not, nothing more is to be asked about it.
	 *
	 * @param \WP_Post $post any post, revisions included.
	 */
	public static function may_cost( \WP_Post $post ): bool {
		$text = (string) $post->post_content;
		if ( ( self::$plain[ $post->ID ] ?? null ) === $text ) {
			return false;
		}
		$type = $post->post_type;
		if ( 'revision' === $type || self::is_copy( $post ) ) {
			return true;
		}
		list( $has_prices, $has_others ) = self::kind( $type );
		if ( $has_others || ( $has_prices && '' !== self::own_price( $post->ID ) ) ) {
			return true;
		}
		if ( ! self::is_internal( $type ) && ( self::names_us( $text ) || self::shows_marked( $text ) ) ) {
			return true;
		}
		self::$plain[ $post->ID ] = $text;
		return false;
	}

	/**
	 * Say whether some content has our markers, or shows what has.
	 *
	 * @param string $content as it is stored.
	 */
	public static function is_marked( string $content ): bool {
		return ( self::names_us( $content ) && Parser::has_markers( $content ) ) || self::shows_marked( $content );
	}

	/**
	 * Say whether our name is in a text. Not by `stripos`, which copies the text.
	 *
	 * @param string $text anything.
	 */
	public static function names_us( string $text ): bool {
		return 0 !== preg_match( '/bitcache/i', $text );
	}

	/** Say whether some content shows other content that has our markers. */
	private static function shows_marked( string $content ): bool {
		return preg_match( '/<!--\s+wp:(?:core\/)?(?:block|pattern)\s/', $content ) && Parser::names_markers( $content );
	}

	/**
	 * Say whether posts of this type have prices of their own.
	 *
	 * @param string $type of posts.
	 */
	public static function has_prices( string $type ): bool {
		return self::kind( $type )[0];
	}

	/**
	 * Return whether posts of a type have prices of their own, and others. Options are read anew at
	 * each question; here they are asked about each post of a page.
	 *
	 * @param string $type of posts.
	 * @return array{0: bool, 1: bool}
	 */
	private static function kind( string $type ): array {
		if ( self::is_internal( $type ) ) {
			return array( false, false );
		}
		if ( null === self::$types ) {
			Plugin::look_again_if_early();
			self::$types = Defaults::types();
		}
		list( $priced, $concerned ) = self::$types;
		return array( null === $priced || in_array( $type, $priced, true ), in_array( $type, $concerned, true ) );
	}

	/**
	 * Return what stands in a post's own field for the price.
	 *
	 * @param int $id of the post.
	 */
	private static function own_price( int $id ): string {
		$fields  = wp_cache_get( $id, 'post_meta' );
		$filters = $GLOBALS['wp_filter']['get_post_metadata']->callbacks ?? array();
		// Asked about each post of a page: the way through the filters is left out where there is none but ours.
		if ( is_array( $fields ) && 1 === count( $filters ) && 1 === count( $filters[ PHP_INT_MAX ] ?? array() ) ) {
			return (string) ( $fields[ Defaults::OWN ][0] ?? '' );
		}
		return (string) get_post_meta( $id, Defaults::OWN, true );
	}
}
