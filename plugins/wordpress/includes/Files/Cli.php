<?php
/**
 * `wp bitcache files`.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * Looks after files that cost.
 */
final class Cli {

	/** Attach the command, where WP-CLI runs. */
	public function register(): void {
		if ( defined( 'WP_CLI' ) && WP_CLI ) {
			\WP_CLI::add_command( 'bitcache files check', array( $this, 'check' ) );
			\WP_CLI::add_command( 'bitcache files repair', array( $this, 'repair' ) );
		}
	}

	/**
	 * Lists files that cost and are still public, or are not where they belong.
	 *
	 * ## OPTIONS
	 *
	 * [--format=<format>]
	 * : table, json or csv.
	 * ---
	 * default: table
	 * ---
	 *
	 * @param string[]              $args    none.
	 * @param array<string, string> $options as above.
	 */
	public function check( $args, $options ): void {
		$wrong = Check::run();
		\WP_CLI\Utils\format_items( $options['format'] ?? 'table', $wrong, array( 'kind', 'id', 'path' ) );
		if ( array() !== $wrong ) {
			\WP_CLI::halt( 1 );
		}
	}

	/**
	 * Brings every file to where it belongs, and says what could not be done.
	 *
	 * @param string[] $args none.
	 */
	public function repair( $args ): void {
		$failed = Check::repair();
		foreach ( $failed as $id => $words ) {
			\WP_CLI::warning( $id . ': ' . $words );
		}
		if ( array() !== $failed ) {
			\WP_CLI::halt( 1 );
		}
		\WP_CLI::success( __( 'Every file is where it belongs.', 'bitcache' ) );
	}
}
