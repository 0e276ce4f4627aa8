<?php
/**
 * The first look at a post.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

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

	/** @var array{0: string[]|null, 1: string[]}|null types with prices of their own (null: all), and with others */
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
		$type = $post->post_type;
		if ( isset( self::INTERNAL[ $type ] ) ) {
			return true;
		}
		return isset( self::$plain[ $post->ID ] ) && self::$plain[ $post->ID ] === $post->post_content && 'attachment' !== $type;
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
		if ( self::has_others( $type ) || ( self::has_prices( $type ) && '' !== (string) get_post_meta( $post->ID, Defaults::OWN, true ) ) ) {
			return true;
		}
		if ( ! self::is_internal( $type ) && ( false !== stripos( $text, 'bitcache' ) || self::is_marked( $text ) ) ) {
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
		if ( false === stripos( $content, 'bitcache' ) && ! preg_match( '/<!--\s+wp:(?:core\/)?(?:block|pattern)\s/', $content ) ) {
			return false;
		}
		return Parser::has_markers( $content ) || Parser::names_markers( $content );
	}

	/**
	 * Say whether posts of this type have prices of their own.
	 *
	 * @param string $type of posts.
	 */
	public static function has_prices( string $type ): bool {
		$types = self::types()[0];
		return ( null === $types || in_array( $type, $types, true ) ) && ! isset( self::INTERNAL[ $type ] );
	}

	/**
	 * Say whether posts of this type can have prices that are not their own.
	 *
	 * @param string $type of posts.
	 */
	private static function has_others( string $type ): bool {
		return in_array( $type, self::types()[1], true ) && ! isset( self::INTERNAL[ $type ] );
	}

	/**
	 * Return the types that matter. Options are read anew at each question; here they are asked
	 * about each post of a page.
	 *
	 * @return array{0: string[]|null, 1: string[]}
	 */
	private static function types(): array {
		if ( null === self::$types ) {
			self::$types = array( Defaults::priced_types(), Defaults::other_types() );
		}
		return self::$types;
	}
}
