<?php
/**
 * What stands in a page in the place of a paid part.
 *
 * @package Bitcache
 */

namespace Bitcache\Front;

use Bitcache\Content\Document;
use Bitcache\Content\Glance;
use Bitcache\Content\Parser;
use Bitcache\Content\Part;
use Bitcache\Content\Rules;
use Bitcache\Http\ContentRoute;
use Bitcache\Http\ReadingPage;
use Bitcache\Server\Connection;
use Bitcache\Server\Items;
use Bitcache\Settings;
use Bitcache\Surfaces\Strip;

/**
 * Puts walls in the place of the placeholders that `Document::teaser` leaves. Asks the database
 * nothing and the server nothing.
 */
final class Wall {

	/**
	 * Take our markers out of a post that is free now; the text must be the post's own.
	 *
	 * @param string $content as it is stored.
	 */
	public static function open_free( $content ) {
		if ( ! is_string( $content ) || ! Glance::is_marked( $content ) ) {
			return $content;
		}
		$post = get_post();
		if ( ! $post instanceof \WP_Post || Document::of( $post )->is_locked() || false === strpos( (string) $post->post_content, trim( $content ) ) ) {
			return $content;
		}
		return Parser::opened( $content );
	}

	/**
	 * Put walls in the place of the placeholders of the current post.
	 *
	 * @param string $content as WordPress has rendered it.
	 */
	public static function expand( $content ) {
		if ( ! is_string( $content ) || false === strpos( $content, '<!-- bitcache:wall ' ) ) {
			return $content;
		}
		$post = get_post();
		// WordPress makes paragraphs of comments.
		$pattern = '#(?:<p>\s*)?' . trim( Document::PLACEHOLDER, '/' ) . '(?:\s*(?:<br\s*/?>|</p>))?#';
		$seen    = array();
		return (string) preg_replace_callback(
			$pattern,
			function ( array $found ) use ( $post, &$seen ): string {
				$html = '';
				if ( $post instanceof \WP_Post ) {
					$first             = ! isset( $seen[ $found[1] ] );
					$seen[ $found[1] ] = true;
					$html              = self::place( $post, $found[1], (int) $found[2], $first );
				}
				return self::closed( $found[0], $html );
			},
			$content
		);
	}

	/**
	 * Return what stands in the place of a stretch.
	 *
	 * @param \WP_Post $post  the post.
	 * @param string   $key   of the part.
	 * @param int      $n     of the stretch.
	 * @param bool     $first whether it is the part's first stretch here: that has the widget.
	 */
	public static function place( \WP_Post $post, string $key, int $n, bool $first = true ): string {
		// Of a preview it is that of the text that is previewed.
		$document = Strip::locked( $post );
		$part     = $document ? $document->part( $key ) : null;
		if ( ! $part || ! isset( $part->stretches[ $n ] ) ) {
			return '';
		}
		if ( ReadingPage::shows( $post->ID, $key ) ) {
			return '<div class="bitcache-content">' . Renderer::stretch( $post, $key, $part->stretches[ $n ] ) . '</div>';
		}
		Assets::enqueue( $part );
		return $first ? self::wall( $post, $part, $n ) : self::more( $post, $part, $n );
	}

	/**
	 * Return the wall itself.
	 *
	 * @param \WP_Post $post the post.
	 * @param Part     $part the part.
	 * @param int      $n    of the stretch that stands here.
	 */
	private static function wall( \WP_Post $post, Part $part, int $n ): string {
		$item    = Connection::is_connected() && null !== $part->price ? Items::item_id( $post->ID, $part->key ) : null;
		$url     = ContentRoute::url( $post->ID, $part->key, $n );
		$free_at = self::free_at( $post );
		$html    = '<div class="bitcache-wall bitcache-paywall" id="bitcache-' . $post->ID . '-' . $part->key . '"'
			. ' data-post="' . $post->ID . '" data-bitcache-wall="' . esc_attr( $part->key ) . '" data-n="' . $n . '"'
			. ' data-content="' . esc_url( $url ) . '"'
			. ( null === $free_at ? '' : ' data-free="' . $free_at . '"' )
			. ( null === $item && null !== $part->price && Connection::is_connected() ? ' data-make="' . esc_url( ContentRoute::make_url( $post->ID, $part->key ) ) . '"' : '' )
			. ' data-server="' . esc_attr( Connection::server() ) . '"' . self::theme( ' data-theme' ) . '>';
		if ( null === $item ) {
			return $html . self::line() . self::notice() . self::already( $post ) . '</div>';
		}
		return $html . self::line()
			. '<bitcache-paywall item="' . esc_attr( $item ) . '" server="' . esc_attr( Connection::server() ) . '" content="' . esc_url( $url ) . '"' . self::theme( ' theme' ) . '>'
			. '<div slot="no-script" class="bitcache-noscript"><p><a class="bitcache-buy" rel="nofollow" href="' . esc_url( Connection::server() . '/pay/' . $item ) . '">'
			/* translators: %s: a price such as "0.05 USD". */
			. esc_html( sprintf( __( 'Read on for %s', 'bitcache' ), $part->price->label() ) ) . '</a></p>'
			. self::already( $post )
			. '</div></bitcache-paywall></div>';
	}

	/**
	 * Return what stands in the place of a further stretch of the same part.
	 *
	 * @param \WP_Post $post the post.
	 * @param Part     $part the part.
	 * @param int      $n    of the stretch.
	 */
	private static function more( \WP_Post $post, Part $part, int $n ): string {
		return '<div class="bitcache-part bitcache-paywall" data-post="' . $post->ID . '" data-bitcache-part="' . esc_attr( $part->key ) . '" data-n="' . $n . '">'
			. '<p class="bitcache-more"><a href="#bitcache-' . $post->ID . '-' . esc_attr( $part->key ) . '">'
			. esc_html__( 'This part opens together with the one above.', 'bitcache' ) . '</a></p></div>';
	}

	/** Return the owner's own line above the wall. */
	private static function line(): string {
		$own = (string) Settings::get()['notice'];
		return '' === $own ? '' : '<p class="bitcache-line">' . esc_html( $own ) . '</p>';
	}

	/** Return a calm sentence for a part that cannot be bought now. */
	private static function notice(): string {
		return '<p class="bitcache-note">' . esc_html__( 'The rest cannot be bought at the moment. Please come back later.', 'bitcache' ) . '</p>';
	}

	/**
	 * Return the button for readers without scripts who have bought it.
	 *
	 * @param \WP_Post $post the post.
	 */
	private static function already( \WP_Post $post ): string {
		return '<form class="bitcache-already" method="post" action="' . esc_url( ReadingPage::url( $post->ID ) ) . '"><button type="submit">'
			. esc_html__( 'Already bought? Open', 'bitcache' ) . '</button></form>';
	}

	/**
	 * Return when asking without a purchase makes sense: a time in Unix seconds, 0 for at once;
	 * null for never.
	 *
	 * @param \WP_Post $post the post.
	 */
	private static function free_at( \WP_Post $post ): ?int {
		$rules = Rules::for_post( $post );
		if ( $rules->free_readers > 0 ) {
			return 0;
		}
		$at = $rules->free_at( $post );
		return $at > 0 ? $at : null;
	}

	/**
	 * Return the theme that the owner chose as an attribute; "" for what the page around it has (front.js).
	 *
	 * @param string $name of the attribute, with a space before it.
	 */
	private static function theme( string $name ): string {
		$theme = Settings::get()['look']['theme'];
		return in_array( $theme, array( 'light', 'dark' ), true ) ? $name . '="' . $theme . '"' : '';
	}

	/**
	 * Return a wall without the half of a paragraph that stood around its placeholder.
	 *
	 * @param string $found what is replaced.
	 * @param string $html  the wall.
	 */
	private static function closed( string $found, string $html ): string {
		$opens  = 0 === strncmp( $found, '<p>', 3 );
		$closes = '</p>' === substr( $found, -4 );
		return ( ! $opens && $closes ? '</p>' : '' ) . $html . ( $opens && ! $closes ? '<p>' : '' );
	}
}
