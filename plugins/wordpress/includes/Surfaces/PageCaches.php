<?php
/**
 * Page caches that hold what was free a moment ago.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

/**
 * Tells the caches of other plugins that pages have changed, where a price was set without the post
 * being saved. A cache that nobody can tell keeps its pages for as long as it keeps pages.
 */
final class PageCaches {

	/** Functions that forget the pages of one post, by its number. */
	private const POST_FUNCTIONS = array( 'wp_cache_post_change', 'w3tc_flush_post', 'rocket_clean_post', 'wpfc_clear_post_cache_by_id' );

	/** Actions that do the same. */
	private const POST_ACTIONS = array( 'litespeed_purge_post', 'cache_enabler_clear_page_cache_by_post', 'wphb_clear_page_cache' );

	/** Functions that forget every page. */
	private const SITE_FUNCTIONS = array( 'wp_cache_clear_cache', 'w3tc_flush_all', 'rocket_clean_domain', 'wpfc_clear_all_cache', 'sg_cachepress_purge_cache' );

	/** Actions that do the same. */
	private const SITE_ACTIONS = array( 'litespeed_purge_all', 'cache_enabler_clear_site_cache', 'wphb_clear_page_cache', 'breeze_clear_all_cache', 'rt_nginx_helper_purge_all', 'swcfpc_purge_cache' );

	/**
	 * Forget the pages of some posts.
	 *
	 * @param int[] $ids the posts.
	 */
	public static function forget( array $ids ): void {
		foreach ( $ids as $id ) {
			// Most caches listen to this.
			clean_post_cache( $id );
			self::call( self::POST_FUNCTIONS, self::POST_ACTIONS, array( $id ) );
		}
		self::tell( $ids );
	}

	/** Forget every page: a default price has changed, and any post may cost something now. */
	public static function forget_all(): void {
		self::call( self::SITE_FUNCTIONS, self::SITE_ACTIONS, array() );
		self::tell( array() );
	}

	/**
	 * Tell caches that only their owner knows.
	 *
	 * @param int[] $ids the posts; none for all.
	 */
	private static function tell( array $ids ): void {
		/**
		 * Tells that pages of some posts must not be given out any more as they were.
		 *
		 * @param int[] $ids the posts; none for every page of the site.
		 */
		do_action( 'bitcache_pages_changed', $ids );
	}

	/** Call those of some functions and actions that are there. */
	private static function call( array $functions, array $actions, array $arguments ): void {
		foreach ( $functions as $function ) {
			if ( function_exists( $function ) ) {
				call_user_func_array( $function, $arguments );
			}
		}
		foreach ( $actions as $action ) {
			if ( has_action( $action ) ) {
				do_action_ref_array( $action, $arguments ); // phpcs:ignore -- the caches' own.
			}
		}
	}
}
