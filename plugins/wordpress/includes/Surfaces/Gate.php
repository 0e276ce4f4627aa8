<?php
/**
 * Who may hold the whole text of a post in this request.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

/**
 * One place that says whether paid text may leave the data layer.
 *
 * Nobody but who may edit the post and works on it in wp-admin, in the REST API or over XML-RPC. What
 * a buyer gets comes from `Document`, which always reads what is stored.
 */
final class Gate {

	/**
	 * Say whether objects of this post stay whole in this request.
	 *
	 * A visit of a page never does, whoever makes it: what a page shows can end up in a cache.
	 */
	public static function keeps( \WP_Post $post ): bool {
		if ( ( defined( 'WP_CLI' ) && WP_CLI ) || wp_installing() ) {
			return true;
		}
		if ( ! is_admin() && ! self::is_api() ) {
			return false;
		}
		return did_action( 'init' ) > 0 && current_user_can( 'edit_post', $post->ID );
	}

	/** Say whether this is a call of the REST API or of XML-RPC. */
	public static function is_api(): bool {
		return ( defined( 'REST_REQUEST' ) && REST_REQUEST ) || ( defined( 'XMLRPC_REQUEST' ) && XMLRPC_REQUEST );
	}

	/**
	 * Say whether text is made for a place where a wall is of no use: feeds, excerpts, mail, embeds.
	 */
	public static function is_quiet(): bool {
		if ( doing_filter( 'get_the_excerpt' ) || wp_doing_cron() ) {
			return true;
		}
		if ( defined( 'XMLRPC_REQUEST' ) && XMLRPC_REQUEST ) {
			return true;
		}
		if ( ! did_action( 'parse_query' ) || empty( $GLOBALS['wp_query'] ) ) {
			return false;
		}
		return is_feed() || is_embed() || self::is_amp();
	}

	/** Say whether an AMP plugin makes this page; AMP allows no elements of our own. */
	public static function is_amp(): bool {
		if ( function_exists( 'amp_is_request' ) && did_action( 'wp' ) ) {
			return (bool) amp_is_request();
		}
		return function_exists( 'ampforwp_is_amp_endpoint' ) && did_action( 'wp' ) && ampforwp_is_amp_endpoint();
	}
}
