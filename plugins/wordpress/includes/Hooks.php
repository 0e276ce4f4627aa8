<?php
/**
 * Which hooks of a page lead where.
 *
 * @package Bitcache
 */

namespace Bitcache;

use Bitcache\Content\Defaults;
use Bitcache\Files\FileBlock;
use Bitcache\Files\Urls;
use Bitcache\Front\BlockParser;
use Bitcache\Front\Blocks;
use Bitcache\Front\Wall;
use Bitcache\Shop\WooCommerce;
use Bitcache\Surfaces\Blocks as ListBlocks;
use Bitcache\Surfaces\Content;
use Bitcache\Surfaces\Data;
use Bitcache\Surfaces\Discovery;
use Bitcache\Surfaces\Originals;
use Bitcache\Surfaces\OtherPlugins;
use Bitcache\Surfaces\Search;
use Bitcache\Surfaces\Strip;
use Bitcache\Surfaces\XmlRpc;

/**
 * Tables of static methods: PHP reads the file of a class when one of its hooks is called, not before.
 *
 * Each line is a hook, the class and its method, the priority and how many arguments it takes. All of
 * it is known when PHP compiles it, so no page has to build the tables: that is why PHP_INT_MAX, which
 * PHP looks up, is not in them.
 */
final class Hooks {

	/** Stand for PHP_INT_MIN and PHP_INT_MAX; one more or one less stands for what is next to these. */
	const FIRST = -2147483647;
	const LAST  = 2147483647;

	/** On every page. */
	const PAGES = array(
		array( 'the_posts', array( Data::class, 'posts' ), self::LAST, 2 ),
		array( 'posts_pre_query', array( Data::class, 'suppressed' ), self::LAST, 2 ),
		array( 'get_pages', array( Data::class, 'pages' ), self::LAST, 1 ),
		array( 'the_post', array( Data::class, 'current' ), self::FIRST, 1 ),
		array( 'wp', array( Data::class, 'queried' ), self::FIRST, 0 ),
		array( 'content_pagination', array( Data::class, 'pagination' ), self::LAST, 2 ),
		array( 'post_content', array( Data::class, 'field' ), self::LAST, 2 ),
		array( 'get_post_galleries', array( Data::class, 'galleries' ), self::LAST, 2 ),
		array( 'wp_query_search_exclusion_prefix', array( Search::class, 'begin' ), 10, 1 ),
		array( 'get_post_metadata', array( Data::class, 'footnotes' ), self::LAST, 3 ),
		array( 'render_block_core/post-featured-image', array( ListBlocks::class, 'first_image' ), self::LAST, 3 ),

		array( 'clean_post_cache', array( Defaults::class, 'on_clean' ), self::LAST, 1 ),

		array( 'the_content', array( Content::class, 'guard' ), self::FIRST, 1 ),
		array( 'get_the_excerpt', array( Content::class, 'excerpt' ), self::LAST, 2 ),

		array( 'block_parser_class', array( BlockParser::class, 'instead' ), 10, 1 ),
		array( 'render_block_bitcache/paid', array( Blocks::class, 'unknown' ), self::LAST, 2 ),
		array( 'render_block_bitcache/paywall', array( Blocks::class, 'unknown' ), self::LAST, 2 ),

		array( 'before_woocommerce_init', array( WooCommerce::class, 'begin' ), 10, 0 ),

		array( 'relevanssi_post_content', array( OtherPlugins::class, 'index' ), self::LAST, 2 ),
		array( 'wpseo_sitemap_urlimages', array( OtherPlugins::class, 'images' ), self::LAST, 2 ),
		array( 'rank_math/sitemap/urlimages', array( OtherPlugins::class, 'images' ), self::LAST, 2 ),
		array( 'jetpack_relatedposts_filter_post_context', array( OtherPlugins::class, 'description' ), self::LAST, 1 ),
	);

	/** Where something may be said. */
	const WORDS = array(
		array( 'gettext_bitcache', array( Words::class, 'translate' ), 10, 2 ),
		// The titles of blocks have a context: "block title".
		array( 'gettext_with_context_bitcache', array( Words::class, 'translate' ), 10, 2 ),
		array( 'ngettext_bitcache', array( Words::class, 'translate_plural' ), 10, 4 ),
	);

	/** Once a post was met that costs, or has cost. */
	const MET = array(
		array( 'the_content', array( Wall::class, 'open_free' ), self::FIRST + 1, 1 ),
		array( 'the_content', array( Wall::class, 'expand' ), self::LAST - 1, 1 ),
		array( 'query', array( Originals::class, 'refuse' ), self::LAST, 1 ),
		array( 'pre_render_block', array( ListBlocks::class, 'before' ), self::LAST, 2 ),
		array( 'render_block_core/latest-posts', array( ListBlocks::class, 'latest_posts' ), self::LAST, 2 ),
		array( 'wp_head', array( Discovery::class, 'head' ), 20, 0 ),
		array( 'wpseo_schema_article', array( Discovery::class, 'amend' ), self::LAST, 1 ),
		array( 'rank_math/json_ld', array( Discovery::class, 'amend_all' ), self::LAST, 1 ),

		array( 'rss_enclosure', array( Data::class, 'enclosure_tag' ), self::LAST, 1 ),
		array( 'atom_enclosure', array( Data::class, 'enclosure_tag' ), self::LAST, 1 ),
		array( 'the_content_feed', array( Content::class, 'feed' ), self::LAST, 1 ),
		array( 'get_the_archive_description', array( Strip::class, 'quiet' ), self::LAST, 1 ),
		array( 'jetpack_open_graph_tags', array( OtherPlugins::class, 'tags' ), self::LAST, 1 ),
		array( 'wpseo_metadesc', array( OtherPlugins::class, 'description' ), self::LAST, 1 ),
		array( 'wpseo_opengraph_desc', array( OtherPlugins::class, 'description' ), self::LAST, 1 ),
		array( 'wpseo_twitter_description', array( OtherPlugins::class, 'description' ), self::LAST, 1 ),
		array( 'rank_math/frontend/description', array( OtherPlugins::class, 'description' ), self::LAST, 1 ),
		array( 'aioseo_description', array( OtherPlugins::class, 'description' ), self::LAST, 1 ),
		array( 'seopress_titles_desc', array( OtherPlugins::class, 'description' ), self::LAST, 1 ),
		array( 'the_seo_framework_generated_description', array( OtherPlugins::class, 'description' ), self::LAST, 1 ),
		array( 'slim_seo_meta_description', array( OtherPlugins::class, 'description' ), self::LAST, 1 ),
	);

	/** Where the site has private files. */
	const FILES = array(
		array( 'get_attached_file', array( Urls::class, 'path' ), 1000, 2 ),
		array( '_wp_relative_upload_path', array( Urls::class, 'relative' ), 1000, 2 ),
		array( 'wp_get_attachment_url', array( Urls::class, 'url' ), 1000, 2 ),
		array( 'wp_get_original_image_url', array( Urls::class, 'original_url' ), 1000, 2 ),
		array( 'image_downsize', array( Urls::class, 'sized' ), 1000, 3 ),
		array( 'wp_calculate_image_srcset', array( Urls::class, 'srcset' ), 1000, 5 ),
		array( 'get_the_guid', array( Urls::class, 'guid' ), 1000, 2 ),
		array( 'rss_enclosure', array( Urls::class, 'enclosure' ), 1000, 1 ),
		array( 'atom_enclosure', array( Urls::class, 'enclosure' ), 1000, 1 ),
		array( 'pre_option_wp_attachment_pages_enabled', array( Urls::class, 'keep_page' ), 10, 1 ),

		array( 'the_content', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'the_content_feed', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'the_excerpt_rss', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'the_excerpt', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'widget_text', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'widget_block_content', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'bitcache_part_html', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'wpseo_xml_sitemap_img_src', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'rank_math/sitemap/xml_img_src', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'render_block_core/image', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'render_block_core/cover', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'render_block_core/media-text', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'render_block_core/gallery', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'render_block_core/group', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'render_block_core/columns', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'render_block_core/html', array( Urls::class, 'text' ), self::LAST, 1 ),
		array( 'render_block_core/template-part', array( Urls::class, 'text' ), self::LAST, 1 ),

		array( 'render_block_core/image', array( FileBlock::class, 'instead' ), self::LAST - 1, 2 ),
		array( 'render_block_core/audio', array( FileBlock::class, 'instead' ), self::LAST - 1, 2 ),
		array( 'render_block_core/video', array( FileBlock::class, 'instead' ), self::LAST - 1, 2 ),
		array( 'render_block_core/file', array( FileBlock::class, 'instead' ), self::LAST - 1, 2 ),
		array( 'prepend_attachment', array( FileBlock::class, 'page' ), 1000, 1 ),
		array( 'shortcode_atts_audio', array( FileBlock::class, 'player' ), 1000, 3 ),
		array( 'shortcode_atts_video', array( FileBlock::class, 'player' ), 1000, 3 ),
	);

	/** Where something is written, or WordPress is asked otherwise than by a page. */
	const DESK = array(
		array( 'wp_insert_post_data', array( Originals::class, 'keep' ), self::LAST, 2 ),
		array( 'wp_insert_attachment_data', array( Originals::class, 'keep' ), self::LAST, 2 ),
		array( 'xmlrpc_prepare_post', array( XmlRpc::class, 'post' ), self::LAST, 2 ),
		array( 'xmlrpc_prepare_page', array( XmlRpc::class, 'page' ), self::LAST, 2 ),
		array( 'enclosure_links', array( Data::class, 'enclosures' ), self::LAST, 2 ),
		array( 'ep_post_sync_args', array( OtherPlugins::class, 'sync' ), self::LAST, 2 ),

		array( 'wp_insert_post_data', array( Urls::class, 'saved' ), 1000, 1 ),
		array( 'the_editor_content', array( Urls::class, 'edited' ), 10, 1 ),
		array( 'rest_request_before_callbacks', array( Urls::class, 'rest_begins' ), 10, 3 ),
		array( 'rest_request_after_callbacks', array( Urls::class, 'rest_ends' ), self::LAST, 1 ),
		array( 'rest_prepare_attachment', array( Urls::class, 'rest_attachment' ), 1000, 3 ),
		array( 'rest_api_init', array( Urls::class, 'rest_posts' ), 100, 0 ),
		array( 'xmlrpc_prepare_media_item', array( Urls::class, 'xmlrpc' ), 1000, 2 ),

		array( 'woocommerce_update_options_payment_gateways_bitcache', array( WooCommerce::class, 'listen' ), 20, 0 ),
		array( WooCommerce::CRON, array( WooCommerce::class, 'follow' ), 10, 0 ),
	);

	/** Where WooCommerce is. */
	const SHOP = array(
		array( 'woocommerce_payment_gateways', array( WooCommerce::class, 'offer' ), 10, 1 ),
		array( 'woocommerce_blocks_payment_method_type_registration', array( WooCommerce::class, 'offer_in_blocks' ), 10, 1 ),
		array( 'woocommerce_thankyou_bitcache', array( WooCommerce::class, 'thank' ), 1, 1 ),
	);

	/** By their names. */
	const SHORTCODES = array(
		'bitcache'         => array( Blocks::class, 'paid' ),
		'bitcache_paywall' => array( Blocks::class, 'paywall' ),
		'bitcache_file'    => array( FileBlock::class, 'shortcode' ),
	);

	/**
	 * Attach one callback to many hooks, before all others; few pages call any of these.
	 *
	 * What WordPress keeps of a hook takes 1.6 KB. Where nobody waits for one yet it gets a copy of
	 * the first, and PHP copies the insides only when somebody adds to them.
	 *
	 * @param string[] $hooks    their names.
	 * @param string   $callback `Class::method`, which takes up to three arguments.
	 */
	public static function attach_to_all( array $hooks, string $callback ): void {
		global $wp_filter;
		$first = null;
		foreach ( $hooks as $hook ) {
			$is_new = ! isset( $wp_filter[ $hook ] );
			if ( $is_new && null !== $first ) {
				$wp_filter[ $hook ] = clone $first; // phpcs:ignore WordPress.WP.GlobalVariablesOverride.Prohibited -- what add_filter would make.
				continue;
			}
			add_filter( $hook, $callback, PHP_INT_MIN, 3 );
			if ( $is_new ) {
				$first = $wp_filter[ $hook ];
			}
		}
	}

	/**
	 * Attach the hooks of a table; a second time changes nothing.
	 *
	 * @param array<int, array{0: string, 1: string[], 2: int, 3: int}> $table one of the above.
	 */
	public static function attach( array $table ): void {
		foreach ( $table as list( $hook, $callback, $priority, $arguments ) ) {
			if ( $priority >= self::LAST - 1 ) {
				$priority = PHP_INT_MAX - ( self::LAST - $priority );
			} elseif ( $priority <= self::FIRST + 1 ) {
				$priority = PHP_INT_MIN + ( $priority - self::FIRST );
			}
			add_filter( $hook, $callback, $priority, $arguments );
		}
	}
}
