<?php
/**
 * What to do when something leaks.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

/**
 * One sentence or two for each group of surfaces.
 */
final class Advice {

	/**
	 * Return how to mend a leak.
	 *
	 * @param string $group of the surface.
	 */
	public static function mend( string $group ): string {
		switch ( $group ) {
			case 'page':
				return __( 'The theme or another plugin reads the text from the database by itself. Switch plugins off one by one, or try a default theme, and run the test again; the one whose absence mends it is the cause. Tell its author to use get_the_content().', 'bitcache' );
			case 'cache':
				return __( 'The page cache kept a page from before the price was set. Empty it. If this comes back, let the cache empty the page whenever a post is saved.', 'bitcache' );
			case 'feed':
				return __( 'A plugin writes the feed by itself. Under Settings, Reading, choose "Excerpt" for feeds, or switch that plugin\'s feed off.', 'bitcache' );
			case 'rest':
				return __( 'A plugin adds the text to the answers of the REST API. Switch plugins off one by one and run the test again.', 'bitcache' );
			case 'search':
				return __( 'A search plugin has its own index of the whole texts. Build its index again; if the paid words are still found, leave priced posts out of it.', 'bitcache' );
			case 'embed':
				return __( 'The theme has its own template for embedded posts. Remove embed-content.php from it, or let it use the_excerpt_embed().', 'bitcache' );
			case 'xmlrpc':
				return __( 'A plugin answers XML-RPC without looking at rights. Switch XML-RPC off, or that plugin.', 'bitcache' );
			case 'sitemap':
				return __( 'A sitemap plugin takes addresses or descriptions from the whole text. Switch pictures and descriptions off in it.', 'bitcache' );
			default:
				return __( 'The web server hands the file out. Set BITCACHE_PRIVATE_DIR in wp-config.php to a folder outside of the web server\'s root, and save the file\'s price again. A CDN may keep a copy: empty it.', 'bitcache' );
		}
	}

	/** Return what to do when the site cannot reach itself. */
	public static function unreachable(): string {
		return __( 'This site cannot reach itself, so the test can say nothing. Often a firewall, a password in front of the site, or a host name that the server does not know is the cause; Tools, Site Health names it too. Let the server reach its own address and run the test again.', 'bitcache' );
	}
}
