<?php
/**
 * Calm words in wp-admin about what needs somebody.
 *
 * @package Bitcache
 */

namespace Bitcache\Admin;

use Bitcache\Server\Connection;
use Bitcache\Server\Items;

/**
 * Says which posts cannot be bought and what to do, to those who may edit them.
 */
final class Notices {

	/** So many posts are named at most. */
	const MOST = 5;

	/** What mends itself is named when it has failed so often. */
	const PATIENCE = 2;

	/** Attach every hook. */
	public function register(): void {
		add_action( 'admin_notices', array( $this, 'show' ) );
	}

	/** Print the notices, on pages where somebody looks after posts. */
	public function show(): void {
		$screen = get_current_screen();
		if ( ! $screen || ! in_array( $screen->base, array( 'dashboard', 'edit', 'post', 'upload', 'plugins', 'toplevel_page_bitcache' ), true ) ) {
			return;
		}
		if ( ! Connection::is_connected() ) {
			if ( in_array( $screen->base, array( 'dashboard', 'plugins' ), true ) && current_user_can( 'manage_options' ) ) {
				self::notice(
					'info',
					esc_html__( 'Bitcache is switched on, but not connected to a server yet.', 'bitcache' )
					. sprintf( ' <a href="%s">%s</a>', esc_url( SettingsPage::url() ), esc_html__( 'Connect', 'bitcache' ) )
				);
			}
			return;
		}
		foreach ( $this->troubled() as $post_id => $words ) {
			$link = sprintf( '<a href="%s">%s</a>', esc_url( (string) get_edit_post_link( $post_id ) ), esc_html( Items::title( get_post( $post_id ) ) ) );
			/* translators: 1: the title of a post, 2: what happened and what to do */
			self::notice( 'warning', sprintf( esc_html__( '“%1$s” cannot be bought as it is now. %2$s', 'bitcache' ), $link, esc_html( $words ) ) );
		}
	}

	/**
	 * Return what is wrong with posts that this user looks after, in words by their ids.
	 *
	 * @return array<int, string>
	 */
	private function troubled(): array {
		global $wpdb;
		// phpcs:ignore WordPress.DB.DirectDatabaseQuery -- WordPress has no function that lists posts by the age of a meta.
		$ids   = $wpdb->get_col( $wpdb->prepare( "SELECT post_id FROM {$wpdb->postmeta} WHERE meta_key = %s ORDER BY meta_id DESC LIMIT 50", Items::PROBLEM ) );
		$found = array();
		foreach ( array_map( 'intval', $ids ) as $post_id ) {
			$problem = Items::problem( $post_id );
			$matters = $problem && ( $problem['lasting'] || $problem['attempts'] >= self::PATIENCE );
			if ( $matters && current_user_can( 'edit_post', $post_id ) ) {
				$found[ $post_id ] = $problem['words'];
			}
			if ( count( $found ) >= self::MOST ) {
				break;
			}
		}
		return $found;
	}

	/**
	 * Print one notice.
	 *
	 * @param string $kind `info` or `warning`.
	 * @param string $html that is escaped.
	 */
	private static function notice( string $kind, string $html ): void {
		printf( '<div class="notice notice-%s bitcache-notice"><p>%s</p></div>', esc_attr( $kind ), wp_kses( $html, array( 'a' => array( 'href' => true ) ) ) );
	}
}
