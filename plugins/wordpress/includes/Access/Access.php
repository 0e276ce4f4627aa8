<?php
/**
 * May this visitor read this part of this post?
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

use Bitcache\Content\Document;
use Bitcache\Content\Rules;
use Bitcache\Server\Items;
use Bitcache\Server\Keys;

/**
 * The one place that decides. Everything that gives out a paid part asks here.
 */
final class Access {

	/** A purchase from a balance can be undone about so long; then the server is asked once more. */
	const UNDO_S = 180;

	/** Purchases from a balance may be given back later; the server is asked again after so long. */
	const AGAIN_S = 86400;

	/**
	 * Decide. May count a reader as one of the first, keep a purchase, and set the reader's cookie.
	 *
	 * @param \WP_Post $post    any post; an attachment with the key `file` is a file that is sold.
	 * @param string   $key     of the part.
	 * @param Visitor  $visitor who asks.
	 */
	public static function may_read( \WP_Post $post, string $key, Visitor $visitor ): Verdict {
		if ( $visitor->user && user_can( $visitor->user, 'edit_post', $post->ID ) ) {
			return new Verdict( true, Verdict::EDITOR );
		}
		if ( ! self::is_public( $post ) ) {
			return new Verdict( false, Verdict::NOT_PUBLIC );
		}
		if ( Document::of( $post )->is_free_now() ) {
			return new Verdict( true, Verdict::FREE_DATE );
		}
		$rules = Rules::for_post( $post );
		if ( $visitor->user && array_intersect( (array) $visitor->user->roles, $rules->free_roles ) ) {
			return new Verdict( true, Verdict::FREE_ROLE );
		}
		$now  = time();
		$code = '';
		try {
			if ( self::has_bought( $post->ID, $key, $visitor, $now ) ) {
				return new Verdict( true, Verdict::BOUGHT );
			}
		} catch ( GrantRefused $refused ) {
			$code = $refused->code_name;
		}
		$first = $rules->free_readers > 0 && ( $visitor->is_counted
			? FreeReaders::admit( $visitor->reader, $post->ID, $key, $rules->free_readers, $now )
			: FreeReaders::is_in( $visitor->reader, $post->ID, $key ) );
		if ( $first ) {
			return new Verdict( true, Verdict::FREE_READER );
		}
		return new Verdict( false, Verdict::LOCKED, $code );
	}

	/**
	 * Say whether a post is there for the public: published, of a public type, password given.
	 *
	 * @param \WP_Post $post any post.
	 */
	public static function is_public( \WP_Post $post ): bool {
		$status = get_post_status_object( (string) get_post_status( $post ) );
		return $status && $status->public && is_post_type_viewable( $post->post_type ) && ! post_password_required( $post );
	}

	/**
	 * Say whether a visitor has bought a part: by the cookie, or by the grant that they show.
	 *
	 * @param int     $post_id the post.
	 * @param string  $key     the part.
	 * @param Visitor $visitor who asks.
	 * @param int     $now     Unix seconds.
	 * @throws GrantRefused When a grant was shown that does not open it, and nothing else does.
	 */
	private static function has_bought( int $post_id, string $key, Visitor $visitor, int $now ): bool {
		$row = Purchases::find( $visitor->reader, $post_id, $key, $now );
		if ( $row && self::still_holds( $row, $now ) ) {
			return true;
		}
		if ( null === $visitor->grant || '' === $visitor->grant ) {
			return false;
		}
		$claims = self::claims( $post_id, $key, $visitor->grant, $now );
		$asked  = $claims->is_from_balance() ? GrantLook::is_good( $visitor->grant, $now ) : null;
		if ( false === $asked ) {
			Purchases::revoke( $claims->item, $claims->holder );
			throw new GrantRefused( 'grant_revoked' );
		}
		$visitor->reader->keep();
		Purchases::keep( $visitor->reader, $post_id, $key, $visitor->grant, $claims, $asked ? $now : 0, $now );
		return true;
	}

	/**
	 * Return what a grant says.
	 *
	 * @param int    $post_id the post.
	 * @param string $key     the part.
	 * @param string $grant   that was shown.
	 * @param int    $now     Unix seconds.
	 * @throws GrantRefused When it does not open the part.
	 */
	private static function claims( int $post_id, string $key, string $grant, int $now ): Claims {
		$ids  = Items::item_ids( $post_id );
		$item = $ids[ $key ] ?? '';
		if ( '' === $item ) {
			throw new GrantRefused( 'grant_invalid' );
		}
		try {
			return Grants::read( $grant, $item, $now );
		} catch ( GrantRefused $refused ) {
			// Signed by a key, perhaps, that this site has not heard of yet.
			if ( 'grant_invalid' !== $refused->code_name || ! Keys::ask_again( $grant ) ) {
				throw $refused;
			}
			return Grants::read( $grant, $item, $now );
		}
	}

	/**
	 * Say whether a purchase that was kept still holds; ask the server where that may have changed.
	 *
	 * @param object $row a purchase.
	 * @param int    $now Unix seconds.
	 */
	private static function still_holds( object $row, int $now ): bool {
		if ( 0 !== strncmp( $row->holder, 'ho_', 3 ) ) {
			return true;
		}
		$checked = (int) $row->checked_at;
		$undo    = (int) $row->created_at + self::UNDO_S;
		if ( $checked > 0 && $now < $checked + self::AGAIN_S && ( $checked >= $undo || $now < $checked + 10 ) ) {
			return true;
		}
		$good = GrantLook::is_good( $row->grant_text, $now );
		if ( false === $good ) {
			Purchases::revoke( $row->item_id, $row->holder );
			return false;
		}
		if ( $good ) {
			Purchases::checked( (int) $row->id, $now );
		}
		// A server that is away takes nothing from a reader who has paid.
		return true;
	}
}
