<?php
/**
 * What search engines and networks are told about a locked article.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

/**
 * Google's markup for articles behind a wall, and Open Graph where nobody else writes it.
 */
final class Discovery {

	/** Class of every element that holds or stands for a paid part. */
	public const WALL = 'bitcache-paywall';

	/** @var array<int, string> by post; one page has one such article */
	private static $descriptions = array();

	/** Write the markup into the head of a single locked article. */
	public static function head(): void {
		$post = self::article();
		if ( null === $post ) {
			return;
		}
		if ( ! self::others_write( array( 'WPSEO_VERSION', 'RANK_MATH_VERSION' ) ) ) {
			$flags = JSON_HEX_TAG | JSON_HEX_AMP | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE;
			$json  = wp_json_encode( self::schema( $post ), $flags );
			if ( is_string( $json ) ) {
				echo '<script type="application/ld+json" class="bitcache-schema">' . $json . "</script>\n"; // nosemgrep: unescaped -- JSON with < > & written as escapes.
			}
		}
		$others = array( 'WPSEO_VERSION', 'RANK_MATH_VERSION', 'AIOSEO_VERSION', 'SEOPRESS_VERSION', 'THE_SEO_FRAMEWORK_VERSION', 'SLIM_SEO_VER' );
		if ( ! self::others_write( $others ) && ! has_action( 'wp_head', 'jetpack_og_tags' ) ) {
			self::open_graph( $post );
		}
	}

	/**
	 * Say in another plugin's markup of an article that it is behind a wall.
	 *
	 * @param array|mixed $piece the article.
	 */
	public static function amend( $piece ) {
		return is_array( $piece ) && null !== self::article() ? array_merge( $piece, self::wall() ) : $piece;
	}

	/**
	 * The same for a plugin that gives all pieces at once.
	 *
	 * @param array|mixed $pieces the pieces.
	 */
	public static function amend_all( $pieces ) {
		if ( ! is_array( $pieces ) || null === self::article() ) {
			return $pieces;
		}
		foreach ( $pieces as $name => $piece ) {
			$types = isset( $piece['@type'] ) ? (array) $piece['@type'] : array();
			if ( array_intersect( $types, array( 'Article', 'NewsArticle', 'BlogPosting' ) ) ) {
				$pieces[ $name ] = array_merge( $piece, self::wall() );
			}
		}
		return $pieces;
	}

	/** Return the single locked article that this page is, or null. */
	private static function article(): ?\WP_Post {
		if ( ! did_action( 'wp' ) || ! is_singular() || is_embed() ) {
			return null;
		}
		$post = get_queried_object();
		if ( ! $post instanceof \WP_Post || '' !== $post->post_password ) {
			return null;
		}
		return null === Strip::locked( $post ) ? null : $post;
	}

	/** Say whether one of the plugins that define these constants is active. */
	private static function others_write( array $constants ): bool {
		foreach ( $constants as $constant ) {
			if ( defined( $constant ) ) {
				return true;
			}
		}
		return false;
	}

	/** Return the properties that tell of the wall. */
	private static function wall(): array {
		return array(
			'isAccessibleForFree' => false,
			'hasPart'             => array(
				'@type'               => 'WebPageElement',
				'isAccessibleForFree' => false,
				'cssSelector'         => '.' . self::WALL,
			),
		);
	}

	/** Return the whole markup of an article. */
	private static function schema( \WP_Post $post ): array {
		$schema = array(
			'@context'         => 'https://schema.org',
			'@type'            => 'post' === $post->post_type ? 'NewsArticle' : 'Article',
			'headline'         => mb_substr( wp_strip_all_tags( get_the_title( $post ) ), 0, 110 ),
			'datePublished'    => get_post_time( DATE_W3C, true, $post ),
			'dateModified'     => get_post_modified_time( DATE_W3C, true, $post ),
			'mainEntityOfPage' => get_permalink( $post ),
			'description'      => self::description( $post ),
			'author'           => array(
				'@type' => 'Person',
				'name'  => get_the_author_meta( 'display_name', (int) $post->post_author ),
			),
			'publisher'        => array(
				'@type' => 'Organization',
				'name'  => get_bloginfo( 'name' ),
			),
		);
		$image  = get_the_post_thumbnail_url( $post, 'full' );
		if ( $image ) {
			$schema['image'] = array( $image );
		}
		return $schema + self::wall();
	}

	/** Write the tags that networks read. */
	private static function open_graph( \WP_Post $post ): void {
		$tags  = array(
			'og:type'        => 'article',
			'og:title'       => wp_strip_all_tags( get_the_title( $post ) ),
			'og:description' => self::description( $post ),
			'og:url'         => get_permalink( $post ),
			'og:site_name'   => get_bloginfo( 'name' ),
		);
		$image = get_the_post_thumbnail_url( $post, 'large' );
		if ( $image ) {
			$tags['og:image'] = $image;
		}
		foreach ( $tags as $name => $value ) {
			printf( "<meta property=\"%s\" content=\"%s\" />\n", esc_attr( $name ), esc_attr( $value ) );
		}
	}

	/** Return the excerpt of an article as one line of text. */
	private static function description( \WP_Post $post ): string {
		// Two kinds of markup say it, and WordPress reads all blocks again to shorten a text.
		if ( ! isset( self::$descriptions[ $post->ID ] ) ) {
			$text = $post->post_excerpt;
			if ( '' === trim( $text ) ) {
				$document = Strip::locked( $post );
				$text     = null === $document ? '' : excerpt_remove_blocks( strip_shortcodes( $document->public_text() ) );
			}
			$text = html_entity_decode( wp_trim_words( wp_strip_all_tags( $text ), 40, '…' ), ENT_QUOTES, 'UTF-8' );

			self::$descriptions[ $post->ID ] = trim( (string) preg_replace( '/\s+/u', ' ', $text ) );
		}
		return self::$descriptions[ $post->ID ];
	}
}
