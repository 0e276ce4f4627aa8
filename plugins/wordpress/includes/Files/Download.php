<?php
/**
 * The address of private files.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * Answers `?bitcache_file=…`. A link is checked first (form, end, whose it is), then whether its
 * holder may still read what opens the file.
 */
final class Download {

	/** Attach every hook. */
	public function register(): void {
		add_action( 'init', array( $this, 'answer' ), 1000 );
	}

	/** Send the file, or refuse; other requests go on. */
	public function answer(): void {
		// phpcs:ignore WordPress.Security -- a link is its own credential, and its form is checked
		$value = $_GET[ Links::QUERY ] ?? null;
		if ( null === $value ) {
			return;
		}
		if ( ! in_array( Stream::method(), array( 'GET', 'HEAD' ), true ) ) {
			Stream::refuse( 405 );
		}
		Handover::answer( $value );
		$link = is_string( $value ) ? Links::read( wp_unslash( $value ) ) : null;
		if ( null === $link || ! Vault::has( $link['id'] ) ) {
			Stream::refuse( 404 );
		}
		$holder = Links::holder( $link, Right::holders() );
		if ( null === $holder || time() >= $link['until'] || ! Right::fetch( $link['id'], $holder ) ) {
			Stream::refuse( 403 );
		}
		foreach ( Vault::paths( $link['id'] ) as $rel ) {
			if ( Links::short( $rel ) === $link['file'] && Folder::has( $rel ) ) {
				Stream::send( $rel, isset( $_GET['save'] ) ); // phpcs:ignore WordPress.Security
			}
		}
		Stream::refuse( 404 );
	}
}
