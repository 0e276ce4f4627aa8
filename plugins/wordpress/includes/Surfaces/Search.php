<?php
/**
 * Searching does not look behind the wall.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

/**
 * Rewrites the SQL of searches: a word behind the wall finds nothing, and no count tells of it.
 */
final class Search {

	/**
	 * Wait for the SQL of a search that has just begun. Those by `get_posts` are repeated with their filters.
	 *
	 * @param string $prefix by which a word is excluded; no matter here, but no other hook is for searches alone.
	 */
	public static function begin( $prefix ) {
		add_filter( 'posts_search', array( self::class, 'sql' ), PHP_INT_MAX );
		add_filter( 'posts_search_orderby', array( self::class, 'sql' ), PHP_INT_MAX );
		return $prefix;
	}

	/**
	 * Put the public text in the place of the whole one.
	 *
	 * @param string $sql conditions or order of a search.
	 */
	public static function sql( $sql ) {
		global $wpdb;
		$column = $wpdb->posts . '.post_content';
		if ( ! is_string( $sql ) || false === strpos( $sql, $column ) || self::may_see_all() ) {
			return $sql;
		}
		return str_replace( $column, self::expression(), $sql );
	}

	/** Say whether this is somebody who works in wp-admin and may edit every post. */
	public static function may_see_all(): bool {
		if ( defined( 'WP_CLI' ) && WP_CLI ) {
			return true;
		}
		return is_admin() && did_action( 'init' ) && current_user_can( 'edit_others_posts' ) && current_user_can( 'edit_others_pages' );
	}

	/** Return SQL for the text of a post that the public may search. */
	public static function expression(): string {
		global $wpdb;
		$posts = $wpdb->posts;
		$meta  = $wpdb->postmeta;
		// Percent signs of patterns are written as the placeholders that $wpdb takes out again.
		$any  = $wpdb->placeholder_escape();
		$may  = "{$posts}.post_content LIKE '{$any}bitcache{$any}'"
			. " OR EXISTS (SELECT 1 FROM {$meta} bcp WHERE bcp.post_id = {$posts}.ID AND bcp.meta_key = '_bitcache_price' AND bcp.meta_value <> '')";
		$else = 'all' === PublicText::unmarked() ? "''" : "CASE WHEN {$may} THEN '' ELSE {$posts}.post_content END";
		return "COALESCE((SELECT CASE WHEN bct.meta_value = '" . PublicText::OPEN . "' THEN {$posts}.post_content ELSE bct.meta_value END"
			. " FROM {$meta} bct WHERE bct.post_id = {$posts}.ID AND bct.meta_key = '" . PublicText::META . "' LIMIT 1), {$else})";
	}
}
