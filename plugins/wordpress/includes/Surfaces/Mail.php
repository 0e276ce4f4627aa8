<?php
/**
 * Withholds paid text in mail.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Glance;
use Bitcache\Content\Parser;
use Bitcache\Content\Rules;

/**
 * Newsletters are sent where posts are whole: while somebody publishes one, and by the cron. So
 * every mail is searched for what costs in the posts that it can be about: those of this request,
 * and the last ones that were changed.
 */
final class Mail {

	/** Posts that changed last and are looked at. */
	private const LAST = 20;

	/** Characters that a line must have to be looked for; shorter ones stand in any mail. */
	private const LINE = 12;

	/** @var array<int,true> posts whose status changed in this request */
	private $published = array();

	/** @var bool whether this request sets a price; WordPress saves it after it has published */
	private $prices = false;

	/** @var array<string,string> texts that were looked at; lists send one many times */
	private $known = array();

	/** Attach the hooks. */
	public function register(): void {
		add_filter( 'wp_mail', array( $this, 'clean' ), PHP_INT_MAX );
		// Not with the first: those bring the desk, and this must still have its turn.
		add_action( 'transition_post_status', array( $this, 'note' ), PHP_INT_MIN + 1, 3 );
		add_filter( 'rest_request_before_callbacks', array( $this, 'request' ), PHP_INT_MAX, 3 );
	}

	/**
	 * Note a post that mails may be about.
	 *
	 * @param string   $status new status.
	 * @param string   $before old status.
	 * @param \WP_Post $post   the post.
	 */
	public function note( $status, $before, $post ): void {
		if ( 'publish' === $status && $post instanceof \WP_Post && ! Glance::is_internal( $post->post_type ) ) {
			$this->published[ $post->ID ] = true;
			$this->known                  = array();
		}
	}

	/**
	 * Note whether a call of the REST API sets a price.
	 *
	 * @param mixed                  $answer  not used.
	 * @param mixed                  $handler not used.
	 * @param \WP_REST_Request|mixed $request the call.
	 * @return mixed the answer.
	 */
	public function request( $answer, $handler, $request ) {
		$meta         = $request instanceof \WP_REST_Request ? $request->get_param( 'meta' ) : null;
		$this->prices = $this->prices || is_array( $meta ) && ! empty( $meta['_bitcache_price'] );
		return $answer;
	}

	/**
	 * Take what costs out of a mail.
	 *
	 * @param array|mixed $mail arguments of `wp_mail`.
	 * @return array|mixed
	 */
	public function clean( $mail ) {
		if ( ! is_array( $mail ) || ! isset( $mail['message'] ) || ! is_string( $mail['message'] ) || strlen( $mail['message'] ) < self::LINE ) {
			return $mail;
		}
		$hash = md5( $mail['message'] );
		if ( ! isset( $this->known[ $hash ] ) ) {
			$lines                = $this->paid_lines();
			$this->known          = array_slice( $this->known, -50, null, true );
			$this->known[ $hash ] = array() === $lines ? $mail['message'] : Strip::cut( str_replace( $lines, '', $mail['message'] ) );
		}
		$mail['message'] = $this->known[ $hash ];
		return $mail;
	}

	/**
	 * Return the lines that cost in the posts that a mail can be about, in the forms that mails have.
	 *
	 * @return string[] longest first.
	 */
	private function paid_lines(): array {
		global $wpdb;
		$last  = $wpdb->get_col( $wpdb->prepare( "SELECT ID FROM {$wpdb->posts} WHERE post_status IN ('publish','future','private') AND post_type NOT IN ('attachment','revision') ORDER BY post_modified_gmt DESC LIMIT %d", self::LAST ) );
		$lines = array();
		foreach ( array_unique( array_merge( array_keys( $this->published ), array_map( 'intval', $last ) ) ) as $id ) {
			$post   = get_post( $id );
			$teaser = $post instanceof \WP_Post ? $this->teaser( $post ) : null;
			foreach ( null === $teaser ? array() : Strip::lines_without( Strip::whole( $post ), $teaser ) as $line ) {
				$lines += self::forms( $line );
			}
		}
		arsort( $lines );
		return array_map( 'strval', array_keys( $lines ) );
	}

	/**
	 * Return the forms in which mails have a line, with their lengths.
	 *
	 * @param string $line as it is stored.
	 * @return array<string,int>
	 */
	private static function forms( string $line ): array {
		$plain = trim( wp_strip_all_tags( strip_shortcodes( $line ) ) );
		$forms = array();
		foreach ( array( $line, $plain, wptexturize( $plain ), html_entity_decode( $plain, ENT_QUOTES, 'UTF-8' ), esc_html( $plain ) ) as $form ) {
			if ( strlen( $form ) >= self::LINE ) {
				$forms[ $form ] = strlen( $form );
			}
		}
		return $forms;
	}

	/** Return what the public may have of a post; null if that is everything. */
	private function teaser( \WP_Post $post ): ?string {
		$document = Strip::locked( $post );
		if ( null !== $document ) {
			return $document->public_text();
		}
		// Its price is in the same call, and about to be saved.
		return $this->prices && isset( $this->published[ $post->ID ] )
			? ( new Parser( (string) $post->post_content, Rules::for_post( $post )->free_paragraphs ) )->teaser()
			: null;
	}
}
