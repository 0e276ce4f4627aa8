<?php
/**
 * Who may fetch a private file.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

use Bitcache\Access\Access;
use Bitcache\Access\Reader;
use Bitcache\Access\Visitor;
use Bitcache\Content\Document;

/**
 * Asks the one access helper about each part that opens an attachment.
 *
 * A link is made out to a holder: a reader by the site's cookie, a user, or everybody.
 */
final class Right {

	const READER = 'reader:';
	const USER   = 'user:';

	/** @var array<string, bool> what was allowed in this request. */
	private static $allowed = array();

	/**
	 * Return the holders that whoever asks can be.
	 *
	 * @return string[]
	 */
	public static function holders(): array {
		$holders = array();
		$reader  = Reader::current()->hash();
		$user    = Visitor::current()->user;
		if ( '' !== $reader ) {
			$holders[] = self::READER . $reader;
		}
		if ( $user ) {
			$holders[] = self::USER . $user->ID;
		}
		$holders[] = Links::EVERYBODY;
		return $holders;
	}

	/** Return the holder that links for whoever asks are made out to. */
	public static function holder(): string {
		return self::holders()[0];
	}

	/** Return whether a link's holder may fetch an attachment now. */
	public static function fetch( int $id, string $holder ): bool {
		if ( Links::EVERYBODY === $holder ) {
			return self::is_free( $id );
		}
		if ( 0 === strpos( $holder, self::USER ) && current_user_can( 'edit_post', $id ) ) {
			return true;
		}
		return self::may( $id, Visitor::current() ) || self::is_free( $id );
	}

	/** Return whether everybody may fetch an attachment now: what opens it became free. */
	public static function is_free( int $id ): bool {
		foreach ( Priced::reasons( $id ) as list( $post_id ) ) {
			$post = get_post( $post_id );
			if ( $post instanceof \WP_Post && Access::is_public( $post ) && Document::of( $post )->is_free_now() ) {
				return true;
			}
		}
		return false;
	}

	/** Return whether somebody may read one of the parts that open an attachment. */
	public static function may( int $id, Visitor $visitor ): bool {
		$name = $id . '/' . $visitor->reader->hash() . '/' . ( $visitor->user ? $visitor->user->ID : 0 );
		foreach ( isset( self::$allowed[ $name ] ) ? array() : Priced::reasons( $id ) as list( $post_id, $key ) ) {
			$post = get_post( $post_id );
			if ( $post instanceof \WP_Post && Access::may_read( $post, $key, $visitor )->allowed ) {
				self::$allowed[ $name ] = true;
				break;
			}
		}
		return isset( self::$allowed[ $name ] );
	}
}
