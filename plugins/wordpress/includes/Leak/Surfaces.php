<?php
/**
 * Every surface that the leak test knows.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

/**
 * The list. A new surface is one line.
 */
final class Surfaces {

	/**
	 * Return the surfaces of one planted post.
	 *
	 * @return Surface[]
	 */
	public static function of_post( Sample $s ): array {
		$w    = $s->way . ':';
		$api  = 'wp/v2/posts/' . $s->id;
		$word = $s->public;
		return array(
			self::get( $w . 'page', __( 'The article', 'bitcache' ), 'page', $s->url )->shows( $word ),
			self::get( $w . 'page-again', __( 'The article once more (page cache)', 'bitcache' ), 'cache', $s->url )->shows( $word ),
			self::get( $w . 'page-number', __( 'The article by its number', 'bitcache' ), 'page', home_url( '/?p=' . $s->id ) )->shows( $word ),
			self::get( $w . 'page-two', __( 'Second page of the article', 'bitcache' ), 'page', add_query_arg( 'page', '2', $s->url ) ),
			self::get( $w . 'range', __( 'A range of the article', 'bitcache' ), 'page', $s->url, self::with( 'Range', 'bytes=0-999999' ) )->shows( $word ),
			self::head( $w . 'head', __( 'The article, headers only', 'bitcache' ), 'page', $s->url ),
			self::get( $w . 'print', __( 'Print view', 'bitcache' ), 'page', add_query_arg( 'print', '1', $s->url ) ),
			self::get( $w . 'amp', __( 'AMP view', 'bitcache' ), 'page', add_query_arg( 'amp', '1', $s->url ) ),
			self::get( $w . 'amp-path', __( 'AMP view by its path', 'bitcache' ), 'page', trailingslashit( $s->url ) . 'amp/' ),
			self::get( $w . 'preview', __( 'Preview as a stranger', 'bitcache' ), 'page', home_url( '/?preview=true&p=' . $s->id ) ),
			self::get( $w . 'embed', __( 'Embedded card', 'bitcache' ), 'embed', get_post_embed_url( $s->id ) ?: $s->url )->shows( $s->title ),
			self::get( $w . 'oembed-json', __( 'oEmbed, JSON', 'bitcache' ), 'embed', get_oembed_endpoint_url( $s->url ) )->shows( $s->title ),
			self::get( $w . 'oembed-xml', __( 'oEmbed, XML', 'bitcache' ), 'embed', get_oembed_endpoint_url( $s->url, 'xml' ) )->shows( $s->title ),
			self::get( $w . 'trackback', __( 'Trackback address', 'bitcache' ), 'page', trailingslashit( $s->url ) . 'trackback/' ),
			self::get( $w . 'comment-feed', __( 'Feed of the comments on it', 'bitcache' ), 'feed', get_post_comments_feed_link( $s->id ) ),
			self::rest( $w . 'rest', __( 'REST API', 'bitcache' ), $api )->shows( $s->slug ),
			self::rest( $w . 'rest-embed', __( 'REST API, short form', 'bitcache' ), $api, 'context=embed' )->shows( $s->slug ),
			self::rest( $w . 'rest-edit', __( 'REST API, editor\'s form', 'bitcache' ), $api, 'context=edit' ),
			self::rest( $w . 'rest-embedded', __( 'REST API with what belongs to it', 'bitcache' ), $api, '_embed' )->shows( $s->slug ),
			self::rest( $w . 'rest-password', __( 'REST API with a password', 'bitcache' ), $api, 'password=x' ),
			self::rest( $w . 'rest-revisions', __( 'REST API, revisions', 'bitcache' ), $api . '/revisions' ),
			self::rest( $w . 'rest-autosaves', __( 'REST API, autosaves', 'bitcache' ), $api . '/autosaves' ),
			self::rest( $w . 'rest-comments', __( 'REST API, comments', 'bitcache' ), 'wp/v2/comments', 'post=' . $s->id . '&_embed' ),
			self::rest( $w . 'rest-search', __( 'REST API, posts by a paid word', 'bitcache' ), 'wp/v2/posts', 'search=' . $s->secret )->forbids( $s ),
			self::rest( $w . 'rest-find', __( 'REST API, search by a paid word', 'bitcache' ), 'wp/v2/search', '_embed&search=' . $s->secret )->forbids( $s ),
			self::get( $w . 'search', __( 'Search by a paid word', 'bitcache' ), 'search', home_url( '/?s=' . $s->secret ) )->forbids( $s ),
			self::get( $w . 'search-sentence', __( 'Search by a paid sentence', 'bitcache' ), 'search', home_url( '/?sentence=1&s=' . rawurlencode( 'Nobody reads ' . $s->secret ) ) )->forbids( $s ),
			self::get( $w . 'search-exact', __( 'Exact search', 'bitcache' ), 'search', home_url( '/?exact=1&s=' . rawurlencode( '%' . $s->secret . '%' ) ) )->forbids( $s ),
			self::get( $w . 'search-feed', __( 'Feed of a search', 'bitcache' ), 'search', home_url( '/?feed=rss2&s=' . $s->secret ) )->forbids( $s ),
			self::get( $w . 'search-public', __( 'Search by a word of the teaser', 'bitcache' ), 'search', home_url( '/?s=' . $word ) )->shows( $s->title ),
			self::xmlrpc( $w . 'xmlrpc-wp', __( 'XML-RPC, WordPress', 'bitcache' ), 'wp.getPost', array( 1, 'x', 'x', $s->id ) ),
			self::xmlrpc( $w . 'xmlrpc-metaweblog', __( 'XML-RPC, MetaWeblog', 'bitcache' ), 'metaWeblog.getPost', array( $s->id, 'x', 'x' ) ),
			self::xmlrpc( $w . 'xmlrpc-blogger', __( 'XML-RPC, Blogger', 'bitcache' ), 'blogger.getPost', array( 'x', $s->id, 'x', 'x' ) ),
			self::xmlrpc( $w . 'xmlrpc-pingbacks', __( 'XML-RPC, pingbacks', 'bitcache' ), 'pingback.extensions.getPingbacks', array( $s->url ) ),
			self::post( $w . 'content', __( 'The paid part without a grant', 'bitcache' ), 'page', add_query_arg( array( 'post' => $s->id, 'part' => 'wrap' === $s->way ? 'extra' : 'post' ), rest_url( 'bitcache/v1/content' ) ), '{"grant":null}' ),
			self::post( $w . 'content-forged', __( 'The paid part with a forged grant', 'bitcache' ), 'page', add_query_arg( array( 'post' => $s->id, 'part' => 'wrap' === $s->way ? 'extra' : 'post' ), rest_url( 'bitcache/v1/content' ) ), '{"grant":"e30.AA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}' ),
			self::post( $w . 'reading-page', __( 'The reading page without a grant', 'bitcache' ), 'page', home_url( '/?bitcache_read=' . $s->id ), '', 'application/x-www-form-urlencoded' ),
		);
	}

	/**
	 * Return the surfaces that show many posts; `$s` is one of those planted.
	 *
	 * @return Surface[]
	 */
	public static function of_site( Sample $s ): array {
		$author   = (int) get_post_field( 'post_author', $s->id, 'raw' );
		$category = (int) get_option( 'default_category' );
		$slug     = $s->slug;
		$latest   = http_build_query( array( 'attributes' => array( 'displayPostContent' => 'true', 'displayPostContentRadio' => 'full_post' ) ) ); // phpcs:ignore
		return array(
			self::listed( $s, 'home', __( 'Home page', 'bitcache' ), 'page', home_url( '/' ) ),
			self::listed( $s, 'category', __( 'Archive of the category', 'bitcache' ), 'page', (string) get_category_link( $category ) ),
			self::listed( $s, 'author', __( 'Archive of the author', 'bitcache' ), 'page', get_author_posts_url( $author ) ),
			self::listed( $s, 'day', __( 'Archive of the day', 'bitcache' ), 'page', home_url( '/?m=' . get_the_date( 'Ymd', $s->id ) ) ),
			self::listed( $s, 'feed-rss2', __( 'RSS feed', 'bitcache' ), 'feed', home_url( '/?feed=rss2' ) )->shows( $slug ),
			self::listed( $s, 'feed-atom', __( 'Atom feed', 'bitcache' ), 'feed', home_url( '/?feed=atom' ) )->shows( $slug ),
			self::listed( $s, 'feed-rdf', __( 'RDF feed', 'bitcache' ), 'feed', home_url( '/?feed=rdf' ) )->shows( $slug ),
			self::listed( $s, 'feed-rss', __( 'RSS 0.92 feed', 'bitcache' ), 'feed', home_url( '/?feed=rss' ) )->shows( $slug ),
			self::listed( $s, 'feed-pretty', __( 'Feed by its path', 'bitcache' ), 'feed', get_feed_link() )->shows( $slug ),
			self::listed( $s, 'feed-category', __( 'Feed of the category', 'bitcache' ), 'feed', (string) get_category_feed_link( $category ) )->shows( $slug ),
			self::listed( $s, 'feed-author', __( 'Feed of the author', 'bitcache' ), 'feed', get_author_feed_link( $author ) )->shows( $slug ),
			self::listed( $s, 'feed-comments', __( 'Feed of all comments', 'bitcache' ), 'feed', home_url( '/?feed=comments-rss2' ) ),
			self::rest_list( $s, 'rest-list', __( 'REST API, list of posts', 'bitcache' ), 'wp/v2/posts', 'per_page=20' )->shows( $slug ),
			self::rest_list( $s, 'rest-list-edit', __( 'REST API, list in the editor\'s form', 'bitcache' ), 'wp/v2/posts', 'context=edit' ),
			self::rest_list( $s, 'rest-list-embedded', __( 'REST API, list with what belongs to it', 'bitcache' ), 'wp/v2/posts', '_embed&per_page=20' )->shows( $slug ),
			self::rest_list( $s, 'rest-list-content', __( 'REST API, texts only', 'bitcache' ), 'wp/v2/posts', '_fields=content,excerpt,slug&per_page=20' )->shows( $slug ),
			self::rest_list( $s, 'rest-media', __( 'REST API, media', 'bitcache' ), 'wp/v2/media', 'per_page=50' ),
			self::rest_list( $s, 'rest-blocks', __( 'REST API, reusable blocks', 'bitcache' ), 'wp/v2/blocks' ),
			self::rest_list( $s, 'rest-block-renderer', __( 'REST API, rendered blocks', 'bitcache' ), 'wp/v2/block-renderer/core/latest-posts', 'context=edit&' . $latest ),
			self::rest_list( $s, 'rest-root', __( 'REST API, index', 'bitcache' ), '' ),
			self::listed( $s, 'sitemap', __( 'Sitemap', 'bitcache' ), 'sitemap', home_url( '/?sitemap=index' ) ),
			self::listed( $s, 'sitemap-posts', __( 'Sitemap of posts', 'bitcache' ), 'sitemap', home_url( '/?sitemap=posts&sitemap-subtype=post&paged=1' ) ),
			self::listed( $s, 'sitemap-plugin', __( 'Sitemap of an SEO plugin', 'bitcache' ), 'sitemap', home_url( '/post-sitemap.xml' ) ),
			self::xmlrpc( 'xmlrpc-recent', __( 'XML-RPC, recent posts', 'bitcache' ), 'metaWeblog.getRecentPosts', array( 1, 'x', 'x', 20 ) ),
			self::xmlrpc( 'xmlrpc-titles', __( 'XML-RPC, recent titles', 'bitcache' ), 'mt.getRecentPostTitles', array( 1, 'x', 'x', 20 ) ),
		);
	}

	/**
	 * Return the surfaces of a planted file.
	 *
	 * @return Surface[]
	 */
	public static function of_file( SampleFile $file ): array {
		$f    = '' === $file->secret ? 'picture:' : 'file:';
		$list = array(
			self::rest( $f . 'rest', __( 'REST API, the file', 'bitcache' ), 'wp/v2/media/' . $file->id ),
			self::rest( $f . 'rest-embed', __( 'REST API, the file in short form', 'bitcache' ), 'wp/v2/media/' . $file->id, 'context=embed' ),
			self::get( $f . 'page', __( 'Page of the file', 'bitcache' ), 'file', home_url( '/?attachment_id=' . $file->id ) ),
			self::get( $f . 'stream', __( 'The stream without a signature', 'bitcache' ), 'file', home_url( '/?bitcache_file=' . $file->id . '&size=full&until=4102444800&sig=' . str_repeat( '0', 64 ) ) ),
		);
		foreach ( $file->urls as $number => $url ) {
			$list[] = self::get( $f . 'url-' . $number, __( 'The file at its old address', 'bitcache' ), 'file', $url )->seals();
			$list[] = self::get( $f . 'range-' . $number, __( 'A range of the file', 'bitcache' ), 'file', $url, self::with( 'Range', 'bytes=0-9999' ) )->seals();
		}
		return $list;
	}

	/** Describe a GET. */
	private static function get( string $id, string $label, string $group, string $url, array $args = array() ): Surface {
		return new Surface( $id, $label, $group, $url, $args );
	}

	/** Describe a HEAD. */
	private static function head( string $id, string $label, string $group, string $url ): Surface {
		return new Surface( $id, $label, $group, $url, array( 'method' => 'HEAD' ) );
	}

	/** Describe a list; a number in the address keeps it out of page caches, where it would stay. */
	private static function listed( Sample $s, string $id, string $label, string $group, string $url ): Surface {
		return new Surface( $id, $label, $group, add_query_arg( 'bitcache_leak', substr( $s->slug, -8 ), $url ) );
	}

	/**
	 * Return the routes of the REST API that name no post, those of other plugins included.
	 *
	 * @return Surface[]
	 */
	public static function of_api( Sample $s ): array {
		$list = array();
		foreach ( rest_get_server()->get_routes() as $route => $handlers ) {
			foreach ( $handlers as $handler ) {
				if ( ! empty( $handler['methods']['GET'] ) && ! preg_match( '#[(]|\A/(?:wp/v2/(?:posts|media|blocks))?\z#', $route ) ) {
					/* translators: %s: the address of a route, such as /wp/v2/pages. */
					$label          = sprintf( __( 'REST API, %s', 'bitcache' ), $route );
					$list[ $route ] = self::rest_list( $s, 'route:' . $route, $label, ltrim( $route, '/' ), '_embed' );
				}
			}
		}
		return array_values( $list );
	}

	/**
	 * Return the surface of an article that was read before it had a price.
	 *
	 * @return Surface[]
	 */
	public static function of_late( Sample $s ): array {
		return array(
			self::get( 'late:page', __( 'An article that had no price when it was read first (page cache)', 'bitcache' ), 'cache', $s->url )->shows( $s->public ),
			self::get( 'late:page-number', __( 'The same by its number (page cache)', 'bitcache' ), 'cache', home_url( '/?p=' . $s->id ) )->shows( $s->public ),
		);
	}

	/** Describe a list that the REST API gives; with a number in its address, as `listed`. */
	private static function rest_list( Sample $s, string $id, string $label, string $route, string $query = '' ): Surface {
		return self::rest( $id, $label, $route, ( '' === $query ? '' : $query . '&' ) . 'bitcache_leak=' . substr( $s->slug, -8 ) );
	}

	/** Describe a route of the REST API. */
	private static function rest( string $id, string $label, string $route, string $query = '' ): Surface {
		$url = rest_url( $route );
		$url = '' === $query ? $url : $url . ( false === strpos( $url, '?' ) ? '?' : '&' ) . $query;
		return new Surface( $id, $label, 'rest', $url );
	}

	/** Describe a POST. */
	private static function post( string $id, string $label, string $group, string $url, string $body, string $type = 'application/json' ): Surface {
		return new Surface( $id, $label, $group, $url, array( 'method' => 'POST', 'body' => $body ) + self::with( 'Content-Type', $type ) ); // phpcs:ignore
	}

	/** Describe a call over XML-RPC. */
	private static function xmlrpc( string $id, string $label, string $method, array $params ): Surface {
		$values = '';
		foreach ( $params as $param ) {
			$type    = is_int( $param ) ? 'int' : 'string';
			$values .= '<param><value><' . $type . '>' . esc_xml( (string) $param ) . '</' . $type . '></value></param>';
		}
		$body = '<?xml version="1.0"?><methodCall><methodName>' . $method . '</methodName><params>' . $values . '</params></methodCall>';
		return self::post( $id, $label, 'xmlrpc', site_url( 'xmlrpc.php' ), $body, 'text/xml' );
	}

	/** Return arguments with one header. */
	private static function with( string $name, string $value ): array {
		return array( 'headers' => array( $name => $value ) );
	}
}
