<?php
/**
 * Renders paid parts for those who may read them.
 *
 * @package Bitcache
 */

namespace Bitcache\Front;

use Bitcache\Content\Part;

/**
 * Lets exactly one text pass the guards while it is rendered. Whatever else is rendered in
 * between (other posts in a list, the same post in an embed) is withheld as always.
 */
final class Renderer {

	/** @var array{post: int, key: string, content: string}|null What passes now. */
	private static $passing = null;

	/**
	 * Say whether a text is the one that is rendered for somebody who may read it.
	 *
	 * @param string $content as it comes to `the_content`.
	 */
	public static function passes( string $content ): bool {
		return null !== self::$passing && self::$passing['content'] === $content;
	}

	/** Return the post of which a paid part is rendered at the moment; 0 for none. */
	public static function post_id(): int {
		return null === self::$passing ? 0 : self::$passing['post'];
	}

	/**
	 * Return a paid stretch as HTML, as if it stood in the page that is rendered.
	 *
	 * @param \WP_Post $post of the part.
	 * @param string   $key  of the part.
	 * @param string   $raw  the stretch as it is stored.
	 */
	public static function stretch( \WP_Post $post, string $key, string $raw ): string {
		$before        = self::$passing;
		self::$passing = array(
			'post'    => $post->ID,
			'key'     => $key,
			'content' => $raw,
		);
		try {
			$html = (string) apply_filters( 'the_content', $raw ); // phpcs:ignore -- WordPress' own.
			/**
			 * Change a paid stretch that somebody who may read it is about to get.
			 *
			 * @param string   $html as HTML.
			 * @param \WP_Post $post of the part.
			 * @param string   $key  of the part.
			 */
			return (string) apply_filters( 'bitcache_part_html', $html, $post, $key );
		} finally {
			self::$passing = $before;
		}
	}

	/**
	 * Return a part as the content route gives it out.
	 *
	 * @param \WP_Post $post of the part.
	 * @param Part     $part the part.
	 * @param int      $n    the stretch that is called `html`; the others are in `parts`.
	 * @return array{html: string, parts: object, styles: array<int, array<string, string>>, scripts: array<int, array<string, string>>}
	 */
	public static function answer( \WP_Post $post, Part $part, int $n ): array {
		$n       = isset( $part->stretches[ $n ] ) ? $n : (int) key( $part->stretches );
		$globals = array( 'wp_query', 'wp_the_query', 'post', 'id', 'authordata', 'currentday', 'currentmonth', 'page', 'pages', 'multipage', 'more', 'numpages' );
		$saved   = array();
		foreach ( $globals as $name ) {
			$saved[ $name ] = $GLOBALS[ $name ] ?? null;
		}
		$assets = new Collected();
		$html   = array();
		ob_start();
		try {
			self::set_up( $post );
			do_action( 'wp_enqueue_scripts' ); // phpcs:ignore -- themes register their scripts there.
			$assets->begin();
			foreach ( $part->stretches as $number => $raw ) {
				$html[ $number ] = self::stretch( $post, $part->key, $raw );
			}
			$assets->end();
		} finally {
			ob_end_clean();
			foreach ( $saved as $name => $value ) {
				$GLOBALS[ $name ] = $value; // phpcs:ignore -- put back as it was.
			}
		}
		$html[ $n ] .= $assets->html;
		$css         = $assets->css;
		$salt        = 'b' . $post->ID . '-' . substr( md5( $part->key ), 0, 4 );
		foreach ( $html as $number => $text ) {
			$html[ $number ] = self::own_numbers( $text, $salt );
		}
		$first = $html[ $n ];
		unset( $html[ $n ] );
		return array(
			'html'    => $first,
			// An empty array would be a list in JSON.
			'parts'   => (object) $html,
			'styles'  => $assets->styles( self::own_numbers( $css, $salt ) ),
			'scripts' => $assets->scripts(),
		);
	}

	/**
	 * Make the post the one that the page is about.
	 *
	 * @param \WP_Post $post of the part.
	 */
	private static function set_up( \WP_Post $post ): void {
		$query = new \WP_Query();
		$query->parse_query(
			'page' === $post->post_type
				? array( 'page_id' => $post->ID )
				: array(
					'p'         => $post->ID,
					'post_type' => $post->post_type,
				)
		);
		// As after a query that has run: WordPress 7.1 looks at it.
		$query->query_vars['fields'] = 'all';

		$query->posts             = array( $post );
		$query->post              = $post;
		$query->post_count        = 1;
		$query->found_posts       = 1;
		$query->queried_object    = $post;
		$query->queried_object_id = $post->ID;
		$GLOBALS['wp_query']      = $query; // phpcs:ignore -- put back as it was.
		$GLOBALS['wp_the_query']  = $query; // phpcs:ignore -- put back as it was.
		$query->the_post();
	}

	/**
	 * Give the classes that WordPress counts through on a page numbers that the page does not have.
	 *
	 * @param string $text HTML or CSS.
	 * @param string $salt of the part.
	 */
	private static function own_numbers( string $text, string $salt ): string {
		return (string) preg_replace( '/\bwp-(container|block-gallery)((?:-[a-z]+)*)-(\d+)\b/', 'wp-$1$2-' . $salt . '-$3', $text );
	}
}
