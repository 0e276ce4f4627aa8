<?php
/**
 * Withholds paid text where it is rendered.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Document;
use Bitcache\Content\Glance;
use Bitcache\Front\Renderer;

/**
 * The second line after `Data`: whatever reaches `the_content`, an excerpt or a feed is looked at.
 */
final class Content {

	/** Words in a row that an automatic excerpt must share with the paid part to be refused. */
	private const WINDOW = 5;

	/**
	 * Replace a text by what the public may have of it, before anything else sees it.
	 *
	 * @param string $content text of the current post, or of another that a plugin sends through.
	 */
	public static function guard( $content ) {
		if ( ! is_string( $content ) || '' === trim( $content ) || self::passes( $content ) ) {
			return $content;
		}
		$post = get_post();
		if ( $post instanceof \WP_Post && Glance::is_plain( $post ) && false !== strpos( (string) $post->post_content, trim( $content ) ) ) {
			return $content;
		}
		if ( $post instanceof \WP_Post && $post->ID > 0 ) {
			$content = self::of_post( $content, $post );
		} else {
			$content = Strip::foreign( $content );
		}
		return Gate::is_quiet() ? Strip::quiet( $content ) : $content;
	}

	/** Say whether this is a paid part for somebody who may read it. Nothing is, before its class is loaded. */
	private static function passes( string $content ): bool {
		return class_exists( Renderer::class, false ) && Renderer::passes( $content );
	}

	/** Clean a text while this post is the current one. */
	private static function of_post( string $content, \WP_Post $post ): string {
		$document = Strip::locked( $post );
		if ( $content === $post->post_content && null === $document ) {
			return $content;
		}
		$whole = Strip::whole( $post );
		$own   = false !== strpos( $whole, trim( $content ) );
		if ( null !== $document ) {
			$content = Strip::clean( $content, $document, $whole );
			$own     = $own || false !== strpos( $document->teaser(), trim( $content ) );
		}
		if ( $own || doing_filter( 'get_the_excerpt' ) ) {
			return $content;
		}
		return Strip::foreign( $content );
	}

	/**
	 * Add a link to the article after a teaser in a feed.
	 *
	 * @param string $content the rendered teaser.
	 */
	public static function feed( $content ) {
		$post = get_post();
		if ( ! $post instanceof \WP_Post || null === Strip::locked( $post ) ) {
			return $content;
		}
		return Strip::quiet( (string) $content ) . sprintf(
			"\n<p><a href=\"%s\">%s</a></p>",
			esc_url( get_permalink( $post ) ),
			esc_html__( 'Read the rest on the site', 'bitcache' )
		);
	}

	/**
	 * Refuse an automatic excerpt that was made from the paid part; what an author wrote stays.
	 *
	 * @param string        $excerpt the excerpt.
	 * @param \WP_Post|null $post    its post.
	 */
	public static function excerpt( $excerpt, $post = null ) {
		$post = get_post( $post );
		if ( ! is_string( $excerpt ) || '' === $excerpt || ! $post instanceof \WP_Post ) {
			return $excerpt;
		}
		if ( '' !== trim( $post->post_excerpt ) || Glance::is_plain( $post ) ) {
			return $excerpt;
		}
		return self::plain( $excerpt, $post, 55 );
	}

	/**
	 * Return a text without tags, or words of the teaser in its place if it shares words with what costs.
	 *
	 * @param string   $text  an excerpt or a description.
	 * @param \WP_Post $post  the post it was made from.
	 * @param int      $words how many words the replacement has at most.
	 */
	public static function plain( string $text, \WP_Post $post, int $words ): string {
		$document = Strip::locked( $post );
		if ( null === $document ) {
			return $text;
		}
		$text   = Strip::quiet( $text );
		$public = self::flat( $document->public_text() );
		$given  = self::flat( $text );
		if ( '' === $given || false !== strpos( $public, $given ) ) {
			return $text;
		}
		return self::shares( $given, self::flat( Strip::whole( $post ) ), $public )
			? wp_trim_words( $public, $words, '&hellip;' )
			: $text;
	}

	/** Say whether a text has words in a row that the whole text has and the public one has not. */
	private static function shares( string $given, string $whole, string $public ): bool {
		$words = explode( ' ', $given );
		$step  = min( self::WINDOW, count( $words ) );
		for ( $at = 0; $at + $step <= count( $words ); $at++ ) {
			$window = implode( ' ', array_slice( $words, $at, $step ) );
			if ( false === strpos( $public, $window ) && false !== strpos( $whole, $window ) ) {
				return true;
			}
		}
		return false;
	}

	/** Return a text as words with single spaces between them. */
	private static function flat( string $text ): string {
		$text = html_entity_decode( wp_strip_all_tags( strip_shortcodes( $text ) ), ENT_QUOTES, 'UTF-8' );
		$text = strtr( $text, array( '’' => "'", '‘' => "'", '“' => '"', '”' => '"', '…' => '...' ) );
		// Without /u: a text that was cut in the middle of a character is no reason to see nothing.
		return trim( (string) preg_replace( '/(?:\s|\xC2\xA0)+/', ' ', $text ) );
	}
}
