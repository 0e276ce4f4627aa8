<?php
/**
 * What this site sells, as the server knows it.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

/**
 * Tells the server of each priced part: title, price and addresses, never a word of the content.
 *
 * What the server knows is kept with the post, in the meta `_bitcache_items`: by the part's key,
 * `id` (of the item), `hash` (of what was sent), `site` (that has the item), `body` (that was
 * sent) and, while a call is under way or its answer was lost, `try` (that call and its
 * idempotency key).
 */
final class Items {

	const META    = '_bitcache_items';
	const PROBLEM = '_bitcache_problem';

	/** @var array<int, array<string, array<string, mixed>>> what the server sells of posts that are being deleted, by their ids */
	private static $gone = array();

	/**
	 * Return the item that sells a part of a post; null where there is none on sale.
	 *
	 * @param int    $post_id of the post.
	 * @param string $key     of the part.
	 */
	public static function item_id( int $post_id, string $key ): ?string {
		$row = self::known( $post_id )[ $key ] ?? array();
		return isset( $row['id'] ) && empty( $row['body']['archived'] ) ? $row['id'] : null;
	}

	/**
	 * Return every item of a post that the server knows, also those that are not sold any more.
	 *
	 * @param int $post_id of the post.
	 * @return array<string, string> item ids by the parts' keys.
	 */
	public static function item_ids( int $post_id ): array {
		$ids = array();
		foreach ( self::known( $post_id ) as $key => $row ) {
			if ( isset( $row['id'] ) ) {
				$ids[ $key ] = $row['id'];
			}
		}
		return $ids;
	}

	/**
	 * Return why a post cannot be sold as it is, or null. `words` says what to do, as text.
	 *
	 * @param int $post_id of the post.
	 * @return array{code: string, words: string, at: int, attempts: int, lasting: bool}|null
	 */
	public static function problem( int $post_id ): ?array {
		$stored = get_post_meta( $post_id, self::PROBLEM, true );
		if ( ! is_array( $stored ) || ! isset( $stored['code'] ) ) {
			return null;
		}
		return array(
			'code'     => (string) $stored['code'],
			'words'    => ServerError::words_of( (string) $stored['code'], (string) ( $stored['detail'] ?? '' ) ),
			'at'       => (int) ( $stored['at'] ?? 0 ),
			'attempts' => (int) ( $stored['attempts'] ?? 1 ),
			'lasting'  => ! empty( $stored['lasting'] ),
		);
	}

	/**
	 * Tell the server what is new about a post. Return whether it knows everything now.
	 *
	 * Calls the server only where something changed. What fails is written down and tried again.
	 *
	 * @param int $post_id of a post or an attachment.
	 */
	public static function sync( int $post_id ): bool {
		if ( ! Connection::is_connected() ) {
			return false;
		}
		try {
			foreach ( self::changes( $post_id ) as $key => $body ) {
				self::send( $post_id, $key, $body );
			}
		} catch ( ServerError $error ) {
			self::failed( $post_id, $error );
			return false;
		}
		delete_post_meta( $post_id, self::PROBLEM );
		self::done( $post_id );
		return true;
	}

	/**
	 * Take everything that a post sells off sale, before the post is gone. Never throws.
	 *
	 * @param int $post_id of a post that is about to be deleted.
	 */
	public static function retire( int $post_id ): void {
		$ends = Connection::is_connected() ? self::offers_without( $post_id, array() ) : array();
		if ( ! $ends ) {
			return;
		}
		// Whoever deletes many posts does not wait for a silent server with each.
		if ( ! Health::is_resting() ) {
			try {
				foreach ( $ends as $key => $body ) {
					self::send( $post_id, $key, $body );
				}
				return;
			} catch ( ServerError $error ) {
				Health::note( $error, 'withdraw', self::title( get_post( $post_id ) ) );
				if ( ! $error->is_passing() ) {
					return;
				}
			}
		}
		self::$gone[ $post_id ] = self::known( $post_id );
	}

	/**
	 * Keep what the server still sells of a post that is gone: it is taken off sale later, like any change.
	 *
	 * @param int $post_id of a post that was deleted, with its fields.
	 */
	public static function leave( int $post_id ): void {
		if ( isset( self::$gone[ $post_id ] ) ) {
			add_post_meta( $post_id, self::META, wp_slash( self::$gone[ $post_id ] ), true );
			unset( self::$gone[ $post_id ] );
			Queue::again( $post_id, 1, 0 );
		}
	}

	/**
	 * Nothing is to be told of a post any more; one that is gone leaves nothing behind.
	 *
	 * @param int $post_id of the post.
	 */
	private static function done( int $post_id ): void {
		Queue::done( $post_id );
		if ( ! get_post( $post_id ) ) {
			delete_post_meta( $post_id, self::META );
			delete_post_meta( $post_id, self::PROBLEM );
		}
	}

	/**
	 * Return what the server does not know yet, as bodies by the parts' keys.
	 *
	 * @param int $post_id of the post.
	 * @return array<string, array<string, mixed>>
	 */
	private static function changes( int $post_id ): array {
		$known   = self::known( $post_id );
		$offers  = Offers::of( $post_id );
		$changes = array();
		foreach ( $offers as $key => $body ) {
			// What was tried without an answer may have been done: then the server knows something else.
			if ( isset( $known[ $key ]['try'] ) || self::hash( $body ) !== ( $known[ $key ]['hash'] ?? '' ) ) {
				$changes[ $key ] = $body;
			}
		}
		return $changes + self::offers_without( $post_id, $offers );
	}

	/**
	 * Return what ends the sale of parts that are not offered any more.
	 *
	 * @param int                                 $post_id of the post.
	 * @param array<string, array<string, mixed>> $offers  what is offered, by keys.
	 * @return array<string, array<string, mixed>>
	 */
	private static function offers_without( int $post_id, array $offers ): array {
		$ends = array();
		foreach ( array_diff_key( self::known( $post_id ), $offers ) as $key => $row ) {
			$body = $row['body'] ?? $row['try']['body'] ?? array();
			if ( $body && ( isset( $row['try'] ) || empty( $body['archived'] ) ) ) {
				$ends[ $key ] = array( 'archived' => true ) + $body;
			}
		}
		return $ends;
	}

	/**
	 * Tell the server of one part.
	 *
	 * The idempotency key is stored before the call: a try whose answer was lost is the same
	 * call the next time. A change back to an earlier price is another call.
	 *
	 * @param int                  $post_id of the post.
	 * @param string               $key     of the part.
	 * @param array<string, mixed> $body    of the call.
	 * @throws ServerError When it does not go well.
	 */
	private static function send( int $post_id, string $key, array $body ): void {
		$hash = self::hash( $body );
		$row  = self::known( $post_id )[ $key ] ?? array();
		if ( ( $row['try']['hash'] ?? '' ) !== $hash ) {
			$row['try'] = array(
				'hash' => $hash,
				'key'  => wp_generate_uuid4(),
				'body' => $body,
			);
			self::keep( $post_id, $key, $row );
		}
		try {
			$answer = ( new Client() )->once( '/items', $body, $row['try']['key'] );
		} catch ( ServerError $error ) {
			if ( ! $error->is_passing() ) {
				// A plain no: nothing was done.
				unset( $row['try'] );
				self::keep( $post_id, $key, $row );
			}
			throw $error;
		}
		$id = $answer['id'] ?? '';
		if ( ! is_string( $id ) || ! preg_match( '/\Ait_[A-Za-z0-9_-]{1,64}\z/', $id ) ) {
			throw new ServerError( 'no_bitcache' );
		}
		Health::answered();
		self::keep(
			$post_id,
			$key,
			array(
				'id'   => $id,
				'hash' => $hash,
				'body' => $body,
			)
		);
	}

	/**
	 * Write down that it did not go well, and when it is tried again.
	 *
	 * @param int         $post_id of the post.
	 * @param ServerError $error   what the server said.
	 */
	private static function failed( int $post_id, ServerError $error ): void {
		$before   = self::problem( $post_id );
		$attempts = 1 + ( $before ? $before['attempts'] : 0 );
		update_post_meta(
			$post_id,
			self::PROBLEM,
			array(
				'code'     => $error->code_name,
				'detail'   => $error->getMessage(),
				'at'       => time(),
				'attempts' => $attempts,
				'lasting'  => ! $error->is_passing(),
			)
		);
		Health::note( $error, 'offer', self::title( get_post( $post_id ) ) );
		if ( $error->is_passing() ) {
			Queue::again( $post_id, $attempts, $error->retry_after_s );
		} else {
			self::done( $post_id );
		}
	}

	/**
	 * Return a title as text.
	 *
	 * @param \WP_Post|null $post that has it.
	 */
	public static function title( ?\WP_Post $post ): string {
		$title = $post ? trim( wp_strip_all_tags( html_entity_decode( get_the_title( $post ), ENT_QUOTES, 'UTF-8' ), true ) ) : '';
		return '' === $title ? __( '(no title)', 'bitcache' ) : $title;
	}

	/**
	 * Return what the server knows of a post: of this connection's site only.
	 *
	 * @param int $post_id of the post.
	 * @return array<string, array<string, mixed>>
	 */
	private static function known( int $post_id ): array {
		$site = Connection::site_id();
		$rows = get_post_meta( $post_id, self::META, true );
		return array_filter(
			is_array( $rows ) ? $rows : array(),
			static function ( $row, $key ) use ( $site, $post_id ): bool {
				// A post that was copied with its fields does not sell, nor open for, what the first one sells.
				$name = $row['body']['external_id'] ?? $row['try']['body']['external_id'] ?? null;
				return is_array( $row ) && '' !== $site && ( $row['site'] ?? '' ) === $site
					&& ( null === $name || Offers::external_id( $post_id, (string) $key ) === $name );
			},
			ARRAY_FILTER_USE_BOTH
		);
	}

	/**
	 * Write down one part, and leave what another request wrote of the others.
	 *
	 * @param int                  $post_id of the post.
	 * @param string               $key     of the part.
	 * @param array<string, mixed> $row     what is known now.
	 */
	private static function keep( int $post_id, string $key, array $row ): void {
		wp_cache_delete( $post_id, 'post_meta' );
		$rows         = self::known( $post_id );
		$rows[ $key ] = array( 'site' => Connection::site_id() ) + $row;
		// WordPress takes slashes away.
		update_post_meta( $post_id, self::META, wp_slash( $rows ) );
	}

	/**
	 * Return what stands for a body.
	 *
	 * @param array<string, mixed> $body of a call.
	 */
	private static function hash( array $body ): string {
		return hash( 'sha256', (string) wp_json_encode( $body ) );
	}
}
