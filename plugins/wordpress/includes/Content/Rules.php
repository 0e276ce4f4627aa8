<?php
/**
 * What is free of a post that costs.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

use Bitcache\Settings;

/**
 * The rules of one post: its own over those of the site. 0 and an empty list mean: no such rule.
 */
final class Rules {

	const META = '_bitcache_rules';

	/** @var int How many paragraphs are free where no block or shortcode says where the wall is. */
	public $free_paragraphs;

	/** @var int How many readers read it free before the wall stands. */
	public $free_readers;

	/** @var int After how many days it is free for all. */
	public $free_after_days;

	/** @var string[] Roles that read it free when logged in. */
	public $free_roles;

	/**
	 * Keep the rules.
	 *
	 * @param array<string, mixed> $rules as `Settings::rules` returns them.
	 */
	public function __construct( array $rules ) {
		$this->free_paragraphs = (int) $rules['free_paragraphs'];
		$this->free_readers    = (int) $rules['free_readers'];
		$this->free_after_days = (int) $rules['free_after_days'];
		$this->free_roles      = (array) $rules['free_roles'];
	}

	/**
	 * Return the rules of a post.
	 *
	 * @param \WP_Post $post any post.
	 */
	public static function for_post( \WP_Post $post ): Rules {
		$own = get_post_meta( $post->ID, self::META, true );
		$all = Settings::get()['rules'];
		return new self( Settings::rules( is_array( $own ) ? $own + $all : $all ) );
	}

	/**
	 * Return when a post becomes free for all, in Unix seconds; 0 for never.
	 *
	 * @param \WP_Post $post the post of these rules.
	 */
	public function free_at( \WP_Post $post ): int {
		if ( $this->free_after_days < 1 || 0 === strncmp( $post->post_date_gmt, '0000', 4 ) ) {
			return 0;
		}
		return (int) strtotime( $post->post_date_gmt . ' UTC' ) + $this->free_after_days * DAY_IN_SECONDS;
	}
}
