<?php
/**
 * The leak test on the command line.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

/**
 * Looks for paid text on every public surface of the site.
 */
final class Command {

	/**
	 * Plants canaries behind walls, asks for them as a stranger, and shows what leaks.
	 *
	 * Ends with 0 if nothing leaks, 1 if something does, 2 if that could not be found out.
	 *
	 * ## OPTIONS
	 *
	 * [--format=<format>]
	 * : How to show the findings.
	 * ---
	 * default: table
	 * options:
	 *   - table
	 *   - json
	 *   - csv
	 * ---
	 *
	 * [--all]
	 * : Show sealed surfaces too, in the table.
	 *
	 * ## EXAMPLES
	 *
	 *     wp bitcache leak-test
	 *     wp bitcache leak-test --format=json
	 *
	 * @param string[] $args  not used.
	 * @param array    $named options.
	 */
	public function __invoke( $args, $named ): void {
		$format  = isset( $named['format'] ) ? (string) $named['format'] : 'table';
		$results = ( new Test() )->run();
		$rows    = array();
		foreach ( $results as $result ) {
			if ( 'table' !== $format || ! empty( $named['all'] ) || in_array( $result->state, array( Result::RED, Result::UNKNOWN ), true ) ) {
				$rows[] = $result->row();
			}
		}
		$verdict = Test::verdict( $results );
		if ( 'table' !== $format || ( array() !== $rows && Test::was_answered( $results ) ) ) {
			\WP_CLI\Utils\format_items( $format, $rows, array( 'id', 'label', 'state', 'status', 'url', 'note' ) );
		}
		if ( 'table' === $format ) {
			\WP_CLI::log( Page::summary( $results ) );
		}
		\WP_CLI::halt( Result::GREEN === $verdict ? 0 : ( Result::RED === $verdict ? 1 : 2 ) );
	}
}
