<?php
/**
 * Takes paid text out of posts and of loose text.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Document;
use Bitcache\Content\Glance;
use Bitcache\Content\Parser;
use Bitcache\Files\Priced;
use Bitcache\Files\Vault;

/**
 * Makes the copy of a post that the public may have, and cleans text whose origin is not known.
 */
final class Strip {

	/** @var array<string,string> the hash of the whole text of each locked post that was met, by site and id */
	private static $met = array();

	/** @var array<string,Document> the documents of posts of which a copy without paid text was given out */
	private static $stripped = array();

	/** @var int[] ids of posts in the order in which shortened copies were given out */
	private static $log = array();

	/** @var array<string,array{0:string,1:Document|null}> what `locked` found for a text of a post */
	private static $found = array();

	/** Forget what was found, after prices or settings changed in the same request. */
	public static function forget(): void {
		self::$found    = array();
		self::$stripped = array();
		Document::forget();
	}

	/**
	 * Return the document of a post if something in it costs, else null.
	 */
	public static function locked( \WP_Post $post ): ?Document {
		if ( Glance::is_plain( $post ) || Glance::is_internal( $post->post_type ) ) {
			return null;
		}
		$name = get_current_blog_id() . ':' . $post->ID;
		if ( Glance::is_copy( $post ) ) {
			// A preview and the published post are two texts of one number.
			$own = $name . ':' . md5( $post->post_content );
			if ( isset( self::$stripped[ $own ] ) || isset( self::$stripped[ $name ] ) ) {
				return self::$stripped[ $own ] ?? self::$stripped[ $name ];
			}
		}
		if ( isset( self::$found[ $name ] ) && self::$found[ $name ][0] === $post->post_content ) {
			return self::$found[ $name ][1];
		}
		$document = Document::of( $post );
		if ( $document->is_locked() ) {
			self::$met[ $name ] = md5( self::whole( $post ) );
		} else {
			$document = null;
		}
		self::$found[ $name ] = array( $post->post_content, $document );
		return $document;
	}

	/** Return the whole text of a post, whatever copy of it the caller has. */
	public static function whole( \WP_Post $post ): string {
		if ( ! Glance::is_copy( $post ) ) {
			return (string) $post->post_content;
		}
		$raw = get_post( $post->ID );
		return $raw instanceof \WP_Post ? (string) $raw->post_content : '';
	}

	/**
	 * Return a post as the public may have it: itself, or a copy that holds the teaser.
	 *
	 * Never changes the object that it is given: that one may be on its way into the object cache,
	 * from where an editor would save the teaser over the article.
	 */
	public static function post( \WP_Post $post ): \WP_Post {
		if ( Glance::is_copy( $post ) || Glance::is_plain( $post ) || Gate::keeps( $post ) ) {
			return $post;
		}
		if ( self::hides_words( $post ) ) {
			$copy                  = clone $post;
			$copy->post_content    = '';
			$copy->post_excerpt    = '';
			$copy->bitcache_teaser = true;
			return $copy;
		}
		$document = self::locked( $post );
		if ( null === $document ) {
			return $post;
		}
		$copy                        = clone $post;
		$copy->post_content          = $document->teaser();
		$copy->post_content_filtered = '';
		$copy->bitcache_teaser       = true;

		self::$log[] = $post->ID;

		$name = get_current_blog_id() . ':' . $post->ID;
		foreach ( array( $name, $name . ':' . md5( $copy->post_content ) ) as $key ) {
			self::$stripped[ $key ] = $document;
		}
		return $copy;
	}

	/** Say whether this is a file from a paid part, whose caption belongs to that part. */
	public static function hides_words( \WP_Post $post ): bool {
		if ( 'attachment' !== $post->post_type || ! Vault::has( $post->ID ) ) {
			return false;
		}
		foreach ( Priced::reasons( $post->ID ) as $reason ) {
			if ( Priced::KEY !== $reason[1] ) {
				return true;
			}
		}
		return false;
	}

	/** Return how many shortened copies this request gave out so far. */
	public static function count(): int {
		return count( self::$log );
	}

	/** Take the places of walls out of a text, for surfaces that show none. */
	public static function quiet( string $text ): string {
		if ( false === strpos( $text, '<!-- bitcache:wall' ) ) {
			return $text;
		}
		return (string) preg_replace( '/<!-- bitcache:wall [^>]*-->/', '', $text );
	}

	/**
	 * Clean a text that comes from a locked post, whole, cut or changed.
	 *
	 * @param string   $text     what is about to be shown.
	 * @param Document $document the post's document.
	 * @param string   $whole    the post's whole text.
	 */
	public static function clean( string $text, Document $document, string $whole ): string {
		$teaser = $document->teaser();
		$plain  = trim( $text );
		if ( '' === $plain || $text === $teaser || false !== strpos( $teaser, $plain ) ) {
			return $text;
		}
		foreach ( array( $whole, str_replace( ']]>', ']]&gt;', $whole ) ) as $form ) {
			$form = trim( $form );
			if ( '' === $form ) {
				continue;
			}
			if ( false !== strpos( $form, $plain ) ) {
				return $teaser;
			}
			$text = str_replace( $form, $teaser, $text );
		}
		$paid = self::lines_without( $whole, $teaser );
		return array() === $paid ? $text : str_replace( $paid, '', $text );
	}

	/**
	 * Return the lines of a text that another one does not have, longest first.
	 *
	 * @return string[]
	 */
	public static function lines_without( string $whole, string $teaser ): array {
		$lines = array();
		foreach ( preg_split( '/\R/', $whole ) as $line ) {
			$line = trim( $line );
			if ( strlen( trim( wp_strip_all_tags( $line ) ) ) >= 4 && ( '' === $teaser || false === strpos( $teaser, $line ) ) ) {
				$lines[ $line ] = strlen( $line );
			}
		}
		arsort( $lines );
		return array_map( 'strval', array_keys( $lines ) );
	}

	/**
	 * Clean a text that does not come from the current post.
	 *
	 * Text of a post that was met in this request is known by its hash, other text by its marks. Where
	 * posts can cost without a mark in them, the database is asked once whose text it is.
	 */
	public static function foreign( string $text ): string {
		$owner = array_search( md5( $text ), self::met_here(), true );
		if ( false === $owner && strlen( $text ) > 40 && ( self::has_mark( $text ) || self::sells_unmarked() ) ) {
			$owner = self::owner( $text );
		}
		$post = $owner ? get_post( (int) $owner ) : null;
		if ( $post instanceof \WP_Post ) {
			$document = self::locked( $post );
			return null === $document ? $text : $document->teaser();
		}
		return self::cut( $text );
	}

	/** @return array<int,string> hashes of the locked posts of this site that were met, by their ids. */
	private static function met_here(): array {
		$here = get_current_blog_id() . ':';
		$met  = array();
		foreach ( self::$met as $name => $hash ) {
			if ( 0 === strpos( $name, $here ) ) {
				$met[ (int) substr( $name, strlen( $here ) ) ] = $hash;
			}
		}
		return $met;
	}

	/** Say whether a text has a mark of something that costs. */
	public static function has_mark( string $text ): bool {
		return Parser::has_markers( $text );
	}

	/**
	 * Cut a text of unknown origin by its marks alone: all after a divider, all inside a wrap.
	 */
	public static function cut( string $text ): string {
		return self::has_mark( $text ) ? self::quiet( ( new Parser( $text ) )->teaser() ) : $text;
	}

	/** Say whether posts of this site can cost without a mark in their text. */
	public static function sells_unmarked(): bool {
		return '' !== PublicText::unmarked();
	}

	/** Return the id of the public post that has exactly this text; 0 if there is none. */
	private static function owner( string $text ): int {
		global $wpdb;
		static $known = array();
		$hash         = get_current_blog_id() . ':' . md5( $text );
		if ( ! isset( $known[ $hash ] ) ) {
			$known[ $hash ] = (int) $wpdb->get_var(
				$wpdb->prepare( "SELECT ID FROM {$wpdb->posts} WHERE post_content = %s AND post_status IN ('publish','future','private','draft') LIMIT 1", $text )
			);
		}
		return $known[ $hash ];
	}
}
