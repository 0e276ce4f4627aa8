<?php
/**
 * Sees to it that files are private as soon as they cost.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

use Bitcache\Content\Defaults;
use Bitcache\Content\Document;

/**
 * Hears of every change that makes an attachment cost, or makes it free, and of new files.
 */
final class Keeper {

	/** Meta of an attachment that says whether it costs. */
	const RULES = array( '_bitcache_price', '_bitcache_currency', '_bitcache_free', Priced::WITH, Priced::IN, Vault::SHARES );

	/** Meta of an attachment that names its files. */
	const FILES = array( '_wp_attached_file', '_wp_attachment_metadata', '_wp_attachment_backup_sizes' );

	/** Meta that means nothing on another site. */
	const HERE = array( Priced::IN, Preview::FILE, Vault::ERROR, Vault::PATH, Vault::SHARES, Vault::STATE );

	/** Cron hook that looks through posts after a default changed. */
	const CRON = 'bitcache_files';

	/** Posts looked through at a time. */
	const BATCH = 50;

	/** @var array<int, string[]> private files of attachments that are being deleted. */
	private $going = array();

	/** @var array<int, true> posts that have other categories, and were not saved since. */
	private $categorised = array();

	/** Attach every hook. */
	public function register(): void {
		foreach ( array( 'added', 'updated', 'deleted' ) as $what ) {
			add_action( $what . '_post_meta', array( $this, 'meta_changed' ), 10, 3 );
		}
		add_action( Defaults::CHANGED, array( $this, 'again' ), 10, 0 );
		add_action( Defaults::CATEGORISED, array( $this, 'categorised' ) );
		add_action( 'shutdown', array( $this, 'settle' ), 4 );
		add_action( 'update_option_bitcache_settings', array( $this, 'again' ), 10, 0 );
		add_action( 'wp_after_insert_post', array( $this, 'saved' ), 20, 2 );
		add_action( 'attachment_updated', array( Vault::class, 'settle' ) );
		add_action( 'delete_attachment', array( $this, 'going' ), 1 );
		add_action( 'deleted_post', array( $this, 'gone' ) );
		add_action( self::CRON, array( $this, 'look_through' ) );
		add_filter( 'wp_unique_filename', array( $this, 'unique' ), 1000, 3 );
		add_filter( 'wxr_export_skip_postmeta', array( $this, 'skipped' ), 10, 2 );
	}

	/**
	 * @param int|int[] $meta_id of the row or rows.
	 * @param int       $id      of the post.
	 * @param string    $key     of the meta.
	 */
	public function meta_changed( $meta_id, $id, $key ): void {
		$id    = (int) $id;
		$rules = in_array( $key, self::RULES, true );
		$files = in_array( $key, self::FILES, true );
		if ( isset( $this->going[ $id ] ) || ! ( $rules || $files || Preview::CHOICE === $key ) ) {
			return;
		}
		if ( 'attachment' !== get_post_type( $id ) ) {
			if ( $rules ) {
				Document::forget();
				self::parts( $id );
			}
		} elseif ( $rules || ( $files && Vault::has( $id ) ) ) {
			Vault::settle( $id );
		} elseif ( '_wp_attached_file' === $key ) {
			Vault::adopt( $id );
		} elseif ( Preview::CHOICE === $key && Vault::has( $id ) ) {
			Preview::make( $id );
		}
	}

	/**
	 * Not at once: the post may be about to get a price of its own.
	 *
	 * @param int $id of a post that has other categories.
	 */
	public function categorised( $id ): void {
		$this->categorised[ (int) $id ] = true;
	}

	/** Look through what has other categories. */
	public function settle(): void {
		$ids = array_keys( $this->categorised );
		// What this writes may be about others.
		$this->categorised = array();
		foreach ( array_slice( $ids, 0, self::BATCH ) as $id ) {
			self::parts( $id );
		}
		if ( count( $ids ) > self::BATCH ) {
			$this->again();
		}
	}

	/** Look through all posts soon, because a default price changed. */
	public function again(): void {
		if ( ! wp_next_scheduled( self::CRON, array( 0 ) ) ) {
			wp_schedule_single_event( time(), self::CRON, array( 0 ) );
		}
	}

	/**
	 * Look through some posts, and through the next ones a moment later.
	 *
	 * @param int $after id of the last post of the batch before.
	 */
	public function look_through( $after ): void {
		$ids = self::posts( (int) $after );
		foreach ( $ids as $id ) {
			self::parts( $id );
		}
		if ( count( $ids ) === self::BATCH ) {
			wp_schedule_single_event( time(), self::CRON, array( (int) end( $ids ) ) );
		}
	}

	/**
	 * @param int      $id   of the post.
	 * @param \WP_Post $post as it is now.
	 */
	public function saved( $id, $post ): void {
		if ( 'attachment' !== $post->post_type && 'revision' !== $post->post_type ) {
			unset( $this->categorised[ (int) $id ] );
			self::parts( (int) $id );
		}
	}

	/**
	 * An attachment is about to be deleted; its meta still says where its files are.
	 *
	 * @param int $id of the attachment.
	 */
	public function going( $id ): void {
		$this->going[ (int) $id ] = Vault::has( (int) $id ) ? Vault::paths( (int) $id ) : array();
		Preview::delete( (int) $id );
	}

	/**
	 * @param int $id of a post that was deleted.
	 */
	public function gone( $id ): void {
		$id = (int) $id;
		if ( isset( $this->going[ $id ] ) ) {
			if ( Vault::is_used() ) {
				Vault::drop( $id, $this->going[ $id ] );
			}
			unset( $this->going[ $id ] );
		} elseif ( Vault::is_used() ) {
			foreach ( self::in_parts_of( $id ) as $row ) {
				delete_metadata_by_mid( 'post', (int) $row->meta_id );
			}
		}
	}

	/**
	 * WordPress does not see private files, and would give a new upload the name of one.
	 *
	 * @param string $name that WordPress chose.
	 * @param string $end  its ending, with the dot.
	 * @param string $dir  where it will be written.
	 */
	public function unique( $name, $end, $dir ): string {
		$name = (string) $name;
		$rel  = Vault::is_used() ? Paths::rel( $dir . '/' . $name ) : null;
		if ( null === $rel ) {
			return $name;
		}
		$there = Paths::there( '.' === dirname( $rel ) ? '' : dirname( $rel ) . '/' );
		$first = (string) preg_replace( '/\.[^.]*\z/', '', $name );
		$tail  = substr( $name, strlen( $first ) );
		$stem  = $first;
		for ( $number = 1; self::is_taken( $stem, $there ); $number++ ) {
			$stem = $first . '-' . $number;
		}
		return $stem . $tail;
	}

	/**
	 * Leave out of exports what is about files on this disk and posts of this site: on another
	 * one the same numbers are other posts, and would open the file.
	 *
	 * @param bool   $skip so far.
	 * @param string $key  of the meta.
	 */
	public function skipped( $skip, $key ): bool {
		return $skip || in_array( $key, self::HERE, true );
	}

	/**
	 * Return whether a file, or a size of it, has this name already.
	 *
	 * @param string   $stem  name without its ending.
	 * @param string[] $there names in the folder.
	 */
	private static function is_taken( string $stem, array $there ): bool {
		return array() !== preg_grep( '/\A' . preg_quote( $stem, '/' ) . '(-(scaled|rotated|pdf|\d+x\d+))*\.[^.]+(\.[^.]+)?\z/i', $there );
	}

	/** Write down which attachments stand in the paid parts of a post. */
	public static function parts( int $post_id ): void {
		$post = get_post( $post_id );
		if ( ! $post instanceof \WP_Post || in_array( $post->post_type, array( 'attachment', 'revision' ), true ) ) {
			return;
		}
		$now = self::wanted( $post );
		if ( array() === $now && ! Vault::is_used() ) {
			return;
		}
		foreach ( self::in_parts_of( $post_id ) as $row ) {
			$found = (int) $row->post_id . '/' . $row->meta_value;
			if ( isset( $now[ $found ] ) ) {
				unset( $now[ $found ] );
			} else {
				delete_metadata_by_mid( 'post', (int) $row->meta_id );
			}
		}
		foreach ( $now as list( $id, $value ) ) {
			add_post_meta( $id, Priced::IN, $value );
		}
		foreach ( Contained::in( $post->post_content ) as $id ) {
			// What comes with the post by the owner's word, and what failed before.
			if ( '1' === (string) get_post_meta( $id, Priced::WITH, true ) || Vault::has( $id ) ) {
				Vault::settle( $id );
			}
		}
	}

	/** @return array<string, array{0: int, 1: string}> attachment and "<post>:<part>". */
	private static function wanted( \WP_Post $post ): array {
		$document = Document::of( $post );
		$parts    = $document->parts();
		if ( array() === $parts ) {
			return array();
		}
		$open   = Contained::in( $document->public_text() );
		$open[] = (int) get_post_thumbnail_id( $post );
		$wanted = array();
		foreach ( $parts as $key => $part ) {
			foreach ( array_diff( Contained::in( $part->html ), $open ) as $id ) {
				if ( self::may_sell( $post, $id ) ) {
					$value                  = $post->ID . ':' . $key;
					$wanted[ "$id/$value" ] = array( $id, $value );
				}
			}
		}
		return $wanted;
	}

	/**
	 * Say whether a part of a post may take an attachment in.
	 *
	 * A part opens its files, to its author as well, and makes them private. So somebody else's
	 * file costs with a published post only, and only where it costs nowhere else.
	 */
	private static function may_sell( \WP_Post $post, int $id ): bool {
		if ( user_can( (int) $post->post_author, 'edit_post', $id ) ) {
			return true;
		}
		foreach ( Priced::reasons( $id ) as $reason ) {
			if ( $reason[0] !== $post->ID ) {
				return false;
			}
		}
		return 'publish' === $post->post_status;
	}

	/** @return object[] rows of meta with meta_id, post_id and meta_value. */
	private static function in_parts_of( int $post_id ): array {
		global $wpdb;
		// phpcs:ignore WordPress.DB
		return $wpdb->get_results( $wpdb->prepare( "SELECT meta_id, post_id, meta_value FROM {$wpdb->postmeta} WHERE meta_key = %s AND meta_value LIKE %s", Priced::IN, $post_id . ':%' ) );
	}

	/** @return int[] the next posts after one, by id. */
	private static function posts( int $after ): array {
		global $wpdb;
		// phpcs:ignore WordPress.DB
		return array_map( 'intval', $wpdb->get_col( $wpdb->prepare( "SELECT ID FROM {$wpdb->posts} WHERE ID > %d AND post_type NOT IN ('attachment', 'revision', 'nav_menu_item') AND post_status NOT IN ('auto-draft') ORDER BY ID LIMIT %d", $after, self::BATCH ) ) );
	}
}
