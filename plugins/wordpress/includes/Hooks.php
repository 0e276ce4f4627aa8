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
use Bitcache\Surfaces\Strip;
use Bitcache\Surfaces\XmlRpc;

/**
 * Tables of static methods: PHP reads the file of a class when one of its hooks is called, not before.
 *
 * Each line is a hook, the class and its method, the priority and how many arguments it takes.
 */
final class Hooks {

	const FIRST = PHP_INT_MIN;
	const LAST  = PHP_INT_MAX;

	/** On every page. */
	const PAGES = array(
		array( 'gettext_bitcache', Words::class, 'translate', 10, 2 ),
		// The titles of blocks have a context: "block title".
		array( 'gettext_with_context_bitcache', Words::class, 'translate', 10, 2 ),
		array( 'ngettext_bitcache', Words::class, 'translate_plural', 10, 4 ),

		array( 'the_posts', Data::class, 'posts', self::LAST, 2 ),
		array( 'posts_pre_query', Data::class, 'suppressed', self::LAST, 2 ),
		array( 'get_pages', Data::class, 'pages', self::LAST, 1 ),
		array( 'the_post', Data::class, 'current', self::FIRST, 1 ),
		array( 'wp', Data::class, 'queried', self::FIRST, 0 ),
		array( 'content_pagination', Data::class, 'pagination', self::LAST, 2 ),
		array( 'post_content', Data::class, 'field', self::LAST, 2 ),
		array( 'get_post_galleries', Data::class, 'galleries', self::LAST, 2 ),
		array( 'pre_get_posts', Data::class, 'asked', self::LAST, 1 ),
		array( 'get_post_metadata', Data::class, 'footnotes', self::LAST, 3 ),
		array( 'render_block_core/post-featured-image', ListBlocks::class, 'first_image', self::LAST, 3 ),

		array( 'clean_post_cache', Defaults::class, 'on_clean', self::LAST, 1 ),

		array( 'the_content', Content::class, 'guard', self::FIRST, 1 ),
		array( 'get_the_excerpt', Content::class, 'excerpt', self::LAST, 2 ),

		array( 'block_parser_class', BlockParser::class, 'instead', 10, 1 ),
		array( 'render_block_bitcache/paid', Blocks::class, 'unknown', self::LAST, 2 ),
		array( 'render_block_bitcache/paywall', Blocks::class, 'unknown', self::LAST, 2 ),

		array( 'before_woocommerce_init', WooCommerce::class, 'begin', 10, 0 ),

		array( 'relevanssi_post_content', OtherPlugins::class, 'index', self::LAST, 2 ),
		array( 'wpseo_sitemap_urlimages', OtherPlugins::class, 'images', self::LAST, 2 ),
		array( 'rank_math/sitemap/urlimages', OtherPlugins::class, 'images', self::LAST, 2 ),
		array( 'jetpack_relatedposts_filter_post_context', OtherPlugins::class, 'description', self::LAST, 1 ),
	);

	/** Once a post was met that costs, or has cost. */
	const MET = array(
		array( 'the_content', Wall::class, 'open_free', self::FIRST + 1, 1 ),
		array( 'the_content', Wall::class, 'expand', self::LAST - 1, 1 ),
		array( 'query', Originals::class, 'refuse', self::LAST, 1 ),
		array( 'pre_render_block', ListBlocks::class, 'before', self::LAST, 2 ),
		array( 'render_block_core/latest-posts', ListBlocks::class, 'latest_posts', self::LAST, 2 ),
		array( 'wp_head', Discovery::class, 'head', 20, 0 ),
		array( 'wpseo_schema_article', Discovery::class, 'amend', self::LAST, 1 ),
		array( 'rank_math/json_ld', Discovery::class, 'amend_all', self::LAST, 1 ),

		array( 'rss_enclosure', Data::class, 'enclosure_tag', self::LAST, 1 ),
		array( 'atom_enclosure', Data::class, 'enclosure_tag', self::LAST, 1 ),
		array( 'the_content_feed', Content::class, 'feed', self::LAST, 1 ),
		array( 'get_the_archive_description', Strip::class, 'quiet', self::LAST, 1 ),
		array( 'jetpack_open_graph_tags', OtherPlugins::class, 'tags', self::LAST, 1 ),
		array( 'wpseo_metadesc', OtherPlugins::class, 'description', self::LAST, 1 ),
		array( 'wpseo_opengraph_desc', OtherPlugins::class, 'description', self::LAST, 1 ),
		array( 'wpseo_twitter_description', OtherPlugins::class, 'description', self::LAST, 1 ),
		array( 'rank_math/frontend/description', OtherPlugins::class, 'description', self::LAST, 1 ),
		array( 'aioseo_description', OtherPlugins::class, 'description', self::LAST, 1 ),
		array( 'seopress_titles_desc', OtherPlugins::class, 'description', self::LAST, 1 ),
		array( 'the_seo_framework_generated_description', OtherPlugins::class, 'description', self::LAST, 1 ),
		array( 'slim_seo_meta_description', OtherPlugins::class, 'description', self::LAST, 1 ),
	);

	/** Where the site has private files. */
	const FILES = array(
		array( 'get_attached_file', Urls::class, 'path', 1000, 2 ),
		array( '_wp_relative_upload_path', Urls::class, 'relative', 1000, 2 ),
		array( 'wp_get_attachment_url', Urls::class, 'url', 1000, 2 ),
		array( 'wp_get_original_image_url', Urls::class, 'original_url', 1000, 2 ),
		array( 'image_downsize', Urls::class, 'sized', 1000, 3 ),
		array( 'wp_calculate_image_srcset', Urls::class, 'srcset', 1000, 5 ),
		array( 'get_the_guid', Urls::class, 'guid', 1000, 2 ),
		array( 'rss_enclosure', Urls::class, 'enclosure', 1000, 1 ),
		array( 'atom_enclosure', Urls::class, 'enclosure', 1000, 1 ),
		array( 'pre_option_wp_attachment_pages_enabled', Urls::class, 'keep_page', 10, 1 ),

		array( 'the_content', Urls::class, 'text', self::LAST, 1 ),
		array( 'the_content_feed', Urls::class, 'text', self::LAST, 1 ),
		array( 'the_excerpt_rss', Urls::class, 'text', self::LAST, 1 ),
		array( 'the_excerpt', Urls::class, 'text', self::LAST, 1 ),
		array( 'widget_text', Urls::class, 'text', self::LAST, 1 ),
		array( 'widget_block_content', Urls::class, 'text', self::LAST, 1 ),
		array( 'bitcache_part_html', Urls::class, 'text', self::LAST, 1 ),
		array( 'wpseo_xml_sitemap_img_src', Urls::class, 'text', self::LAST, 1 ),
		array( 'rank_math/sitemap/xml_img_src', Urls::class, 'text', self::LAST, 1 ),
		array( 'render_block_core/image', Urls::class, 'text', self::LAST, 1 ),
		array( 'render_block_core/cover', Urls::class, 'text', self::LAST, 1 ),
		array( 'render_block_core/media-text', Urls::class, 'text', self::LAST, 1 ),
		array( 'render_block_core/gallery', Urls::class, 'text', self::LAST, 1 ),
		array( 'render_block_core/group', Urls::class, 'text', self::LAST, 1 ),
		array( 'render_block_core/columns', Urls::class, 'text', self::LAST, 1 ),
		array( 'render_block_core/html', Urls::class, 'text', self::LAST, 1 ),
		array( 'render_block_core/template-part', Urls::class, 'text', self::LAST, 1 ),

		array( 'render_block_core/image', FileBlock::class, 'instead', self::LAST - 1, 2 ),
		array( 'render_block_core/audio', FileBlock::class, 'instead', self::LAST - 1, 2 ),
		array( 'render_block_core/video', FileBlock::class, 'instead', self::LAST - 1, 2 ),
		array( 'render_block_core/file', FileBlock::class, 'instead', self::LAST - 1, 2 ),
		array( 'prepend_attachment', FileBlock::class, 'page', 1000, 1 ),
		array( 'shortcode_atts_audio', FileBlock::class, 'player', 1000, 3 ),
		array( 'shortcode_atts_video', FileBlock::class, 'player', 1000, 3 ),
	);

	/** Where something is written, or WordPress is asked otherwise than by a page. */
	const DESK = array(
		array( 'wp_insert_post_data', Originals::class, 'keep', self::LAST, 2 ),
		array( 'wp_insert_attachment_data', Originals::class, 'keep', self::LAST, 2 ),
		array( 'xmlrpc_prepare_post', XmlRpc::class, 'post', self::LAST, 2 ),
		array( 'xmlrpc_prepare_page', XmlRpc::class, 'page', self::LAST, 2 ),
		array( 'enclosure_links', Data::class, 'enclosures', self::LAST, 2 ),
		array( 'ep_post_sync_args', OtherPlugins::class, 'sync', self::LAST, 2 ),

		array( 'wp_insert_post_data', Urls::class, 'saved', 1000, 1 ),
		array( 'the_editor_content', Urls::class, 'edited', 10, 1 ),
		array( 'rest_request_before_callbacks', Urls::class, 'rest_begins', 10, 3 ),
		array( 'rest_request_after_callbacks', Urls::class, 'rest_ends', self::LAST, 1 ),
		array( 'rest_prepare_attachment', Urls::class, 'rest_attachment', 1000, 3 ),
		array( 'rest_api_init', Urls::class, 'rest_posts', 100, 0 ),
		array( 'xmlrpc_prepare_media_item', Urls::class, 'xmlrpc', 1000, 2 ),

		array( 'woocommerce_update_options_payment_gateways_bitcache', WooCommerce::class, 'listen', 20, 0 ),
		array( WooCommerce::CRON, WooCommerce::class, 'follow', 10, 0 ),
	);

	/** Where WooCommerce is. */
	const SHOP = array(
		array( 'woocommerce_payment_gateways', WooCommerce::class, 'offer', 10, 1 ),
		array( 'woocommerce_blocks_payment_method_type_registration', WooCommerce::class, 'offer_in_blocks', 10, 1 ),
		array( 'woocommerce_thankyou_bitcache', WooCommerce::class, 'thank', 1, 1 ),
	);

	/** By their names. */
	const SHORTCODES = array(
		'bitcache'         => array( Blocks::class, 'paid' ),
		'bitcache_paywall' => array( Blocks::class, 'paywall' ),
		'bitcache_file'    => array( FileBlock::class, 'shortcode' ),
	);

	/**
	 * Attach the hooks of a table; a second time changes nothing.
	 *
	 * @param array<int, array{0: string, 1: string, 2: string, 3: int, 4: int}> $table one of the above.
	 */
	public static function attach( array $table ): void {
		foreach ( $table as list( $hook, $class, $method, $priority, $arguments ) ) {
			add_filter( $hook, array( $class, $method ), $priority, $arguments );
		}
	}
}
