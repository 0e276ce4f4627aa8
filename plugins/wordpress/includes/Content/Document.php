<?php
/**
 * A post, cut into what everybody reads and what costs.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

use Bitcache\Files\Priced;
use Bitcache\Plugin;

/**
 * Everything that the rest of the plugin knows about the content of a post.
 *
 * The stored content is never changed. What is broken (not closed, wrongly nested) is withheld.
 */
final class Document {

	/** What stands in a teaser where a stretch was taken out. The wall's renderer replaces it. */
	const PLACEHOLDER = '/<!-- bitcache:wall ([a-z0-9-]{1,32}) (\d{1,4}) -->/';

	/** @var array<string, Document> */
	private static $known = array();

	/** @var \WP_Post */
	private $post;

	/** @var string Content as it is stored. */
	private $raw;

	/** @var bool|null Whether there is anything of ours in it, or a price. */
	private $concerned = null;

	/** @var Price|null */
	private $price = null;

	/** @var int|null When everybody may read it, in Unix seconds; 0 for never, 1 for always. */
	private $free_at = null;

	/** @var Rules|null */
	private $rules = null;

	/** @var array<string, Part>|null */
	private $parts = null;

	/** @var string */
	private $teaser = '';

	/**
	 * Keep a post; nothing is read before it is asked for.
	 *
	 * @param \WP_Post $post the post.
	 * @param string   $raw  its content as it is stored.
	 */
	private function __construct( \WP_Post $post, string $raw ) {
		$this->post = $post;
		$this->raw  = $raw;
	}

	/**
	 * Return the document of a post: always that of what is stored, also where the object at hand
	 * has had its paid parts taken out.
	 *
	 * @param \WP_Post $post any post, revisions included.
	 */
	public static function of( \WP_Post $post ): Document {
		$raw = (string) $post->post_content;
		if ( false !== strpos( $raw, '<!-- bitcache:wall ' ) && preg_match( self::PLACEHOLDER, $raw ) ) {
			$raw = self::stored( $post );
		}
		$key = get_current_blog_id() . ':' . $post->ID . ':' . $post->post_modified_gmt . ':' . strlen( $raw ) . ':' . crc32( $raw );
		if ( ! isset( self::$known[ $key ] ) ) {
			if ( count( self::$known ) >= 200 ) {
				self::$known = array();
			}
			Plugin::look_again_if_early();
			self::$known[ $key ] = new self( $post, $raw );
		}
		return self::$known[ $key ];
	}

	/** Forget what was read, after prices or settings changed in the same request. */
	public static function forget(): void {
		self::$known = array();
		Glance::forget();
	}

	/** Say whether something must be withheld from the public now. */
	public function is_locked(): bool {
		return $this->is_concerned() && ! $this->is_free_now() && array() !== $this->parts();
	}

	/** Say whether the post has become free for all, or the owner made it free. */
	public function is_free_now(): bool {
		if ( null === $this->free_at ) {
			$owner         = $this->owner();
			$this->free_at = Pricing::is_free( $owner ) ? 1 : $this->rules()->free_at( $owner );
		}
		return $this->free_at > 0 && $this->free_at <= time();
	}

	/**
	 * Return the parts that cost, also where they are free at the moment.
	 *
	 * @return array<string, Part> by their keys.
	 */
	public function parts(): array {
		if ( null === $this->parts ) {
			$this->read();
		}
		return $this->parts;
	}

	/**
	 * Return a part, or null if the post has none of that name.
	 *
	 * @param string $key of the part.
	 */
	public function part( string $key ): ?Part {
		return $this->parts()[ $key ] ?? null;
	}

	/**
	 * Return what a public page may hold, as it would be stored: paid stretches are placeholders.
	 * Of a post that is free now it is everything, without our markers.
	 */
	public function teaser(): string {
		if ( ! $this->is_concerned() ) {
			return $this->raw;
		}
		if ( $this->is_free_now() ) {
			return Parser::opened( $this->raw );
		}
		$this->parts();
		return $this->teaser;
	}

	/** Return the same without placeholders: for excerpts, feeds, search and mail. */
	public function public_text(): string {
		return (string) preg_replace( self::PLACEHOLDER, '', $this->teaser() );
	}

	/** Say whether the post has our markers or a price; the quick answer for most posts is no. */
	public function is_concerned(): bool {
		if ( null === $this->concerned ) {
			$this->concerned = false;
			if ( ! Glance::may_cost( $this->post ) ) {
				return false;
			}
			$this->price     = Pricing::for_post( $this->owner() );
			$this->concerned = ( '' !== trim( $this->raw ) && ( null !== $this->price || Glance::is_marked( $this->raw ) ) )
				|| null !== $this->file_price();
			if ( $this->concerned ) {
				Plugin::get()->meet();
			}
		}
		return $this->concerned;
	}

	/** Cut the content into pieces. */
	private function read(): void {
		$this->parts  = array();
		$this->teaser = $this->raw;
		if ( ! $this->is_concerned() ) {
			return;
		}
		$own    = Pricing::own( $this->owner() );
		$parser = new Parser( $this->raw, null !== $this->price ? $this->rules()->free_paragraphs : null );
		foreach ( $parser->stretches() as $key => $stretches ) {
			$named               = $parser->price( (string) $key, $this->price );
			$price               = Part::POST === $key ? ( $own ?? $named ?? $this->price ) : $named;
			$this->parts[ $key ] = new Part( (string) $key, $stretches, $price );
		}
		$this->teaser = $parser->teaser();
		$file         = $this->file_price();
		if ( null !== $file ) {
			$this->parts[ Priced::KEY ] = new Part( Priced::KEY, array( 1 => '[bitcache_file id="' . $this->post->ID . '"]' ), $file );
		}
	}

	/** Return the price of the file itself, where the post is an attachment that is sold alone. */
	private function file_price(): ?Price {
		return 'attachment' === $this->post->post_type ? Priced::price( $this->post->ID ) : null;
	}

	/** Return what is free of it. */
	private function rules(): Rules {
		$this->rules = $this->rules ?? Rules::for_post( $this->owner() );
		return $this->rules;
	}

	/** Return the post that price and rules are those of: of a revision, its parent. */
	private function owner(): \WP_Post {
		$parent = 'revision' === $this->post->post_type ? get_post( $this->post->post_parent ) : null;
		return $parent instanceof \WP_Post ? $parent : $this->post;
	}

	/**
	 * Return the content that is stored.
	 *
	 * @param \WP_Post $post whose object was changed.
	 */
	private static function stored( \WP_Post $post ): string {
		global $wpdb;
		$kept = \WP_Post::get_instance( $post->ID );
		if ( $kept && ! preg_match( self::PLACEHOLDER, (string) $kept->post_content ) ) {
			return (string) $kept->post_content;
		}
		return (string) $wpdb->get_var( $wpdb->prepare( "SELECT post_content FROM {$wpdb->posts} WHERE ID = %d", $post->ID ) );
	}
}
