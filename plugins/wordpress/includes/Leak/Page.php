<?php
/**
 * The leak test in wp-admin.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

/**
 * Tools, Bitcache leak test: one button, and a table of what was found.
 */
final class Page {

	private const SLUG = 'bitcache-leak-test';

	private const RIGHT = 'manage_options';

	/** Attach the hooks. */
	public function register(): void {
		add_action( 'admin_menu', array( $this, 'menu' ) );
		if ( defined( 'WP_CLI' ) && WP_CLI ) {
			\WP_CLI::add_command( 'bitcache leak-test', new Command() );
		}
	}

	/** Add the page to the menu. */
	public function menu(): void {
		$title = __( 'Bitcache leak test', 'bitcache' );
		$hook  = add_management_page( $title, $title, self::RIGHT, self::SLUG, array( $this, 'show' ) );
		if ( is_string( $hook ) ) {
			add_action( 'load-' . $hook, array( $this, 'check' ) );
		}
	}

	/** Refuse a press of the button that did not come from the page; before anything is shown. */
	public function check(): void {
		if ( isset( $_POST['bitcache_run'] ) ) {
			check_admin_referer( self::SLUG ); // nosemgrep: nonce-without-capability -- WordPress has asked for the page's.
		}
	}

	/** Show the page, and run the test if the button was pressed. */
	public function show(): void {
		if ( ! current_user_can( self::RIGHT ) ) {
			wp_die( esc_html__( 'You may not run this test.', 'bitcache' ), 403 );
		}
		echo '<div class="wrap"><h1>' . esc_html__( 'Bitcache leak test', 'bitcache' ) . '</h1><p>';
		echo esc_html__( 'Plants test posts with random words behind a wall, fetches this site as a stranger through every way that it knows, and looks for the words. Visitors do not see the posts in lists, nobody is notified, and they are deleted at once. Takes up to two minutes.', 'bitcache' );
		echo '</p><form method="post">';
		wp_nonce_field( self::SLUG );
		submit_button( __( 'Run the test', 'bitcache' ), 'primary', 'bitcache_run', false );
		echo '</form>';
		if ( isset( $_POST['bitcache_run'] ) ) {
			check_admin_referer( self::SLUG );
			$this->results( ( new Test() )->run() );
		}
		echo '</div>';
	}

	/**
	 * Return what was found in one or two sentences.
	 *
	 * @param Result[] $results of the test.
	 */
	public static function summary( array $results ): string {
		$count = array_fill_keys( array( Result::GREEN, Result::RED, Result::ABSENT, Result::UNKNOWN ), 0 );
		foreach ( $results as $result ) {
			++$count[ $result->state ];
		}
		if ( ! Test::was_answered( $results ) ) {
			return Advice::unreachable();
		}
		/* translators: 1: number of leaks, 2: number of sealed surfaces, 3: surfaces that showed nothing, 4: surfaces without an answer. */
		$text = __( 'Leaking: %1$d. Sealed: %2$d. Not shown there: %3$d. No answer: %4$d.', 'bitcache' );
		return sprintf( $text, $count[ Result::RED ], $count[ Result::GREEN ], $count[ Result::ABSENT ], $count[ Result::UNKNOWN ] );
	}

	/**
	 * Show the findings, leaks first.
	 *
	 * @param Result[] $results of the test.
	 */
	private function results( array $results ): void {
		$kinds = array(
			Result::GREEN   => 'notice-success',
			Result::RED     => 'notice-error',
			Result::UNKNOWN => 'notice-warning',
		);
		printf( '<div class="notice inline %s"><p><strong>%s</strong></p></div>', esc_attr( $kinds[ Test::verdict( $results ) ] ), esc_html( self::summary( $results ) ) );
		$order = array( Result::RED, Result::UNKNOWN, Result::ABSENT, Result::GREEN );
		usort(
			$results,
			static function ( Result $one, Result $two ) use ( $order ): int {
				return array_search( $one->state, $order, true ) - array_search( $two->state, $order, true );
			}
		);
		echo '<div style="overflow-x:auto"><table class="widefat striped"><thead><tr><th>' . esc_html__( 'Surface', 'bitcache' ) . '</th><th>' . esc_html__( 'Finding', 'bitcache' );
		echo '</th><th>' . esc_html__( 'Status', 'bitcache' ) . '</th><th>' . esc_html__( 'What to do', 'bitcache' ) . '</th></tr></thead><tbody>';
		foreach ( $results as $result ) {
			$this->row( $result );
		}
		echo '</tbody></table></div>';
	}

	/** Show one finding. */
	private function row( Result $result ): void {
		$words   = array(
			Result::GREEN   => __( 'Sealed', 'bitcache' ),
			Result::RED     => __( 'Leaks', 'bitcache' ),
			Result::ABSENT  => __( 'Not shown there', 'bitcache' ),
			Result::UNKNOWN => __( 'No answer', 'bitcache' ),
		);
		$colours = array(
			Result::GREEN   => '#007017',
			Result::RED     => '#b32d2e',
			Result::ABSENT  => '#50575e',
			Result::UNKNOWN => '#996800',
		);
		printf(
			'<tr><td>%s <span style="color:#50575e">(%s)</span></td><td style="color:%s"><strong>%s</strong></td><td>%s</td><td>%s</td></tr>',
			esc_html( $result->surface->label ),
			esc_html( strtok( $result->surface->id, ':' ) ),
			esc_attr( $colours[ $result->state ] ),
			esc_html( $words[ $result->state ] ),
			esc_html( $result->status ? (string) $result->status : '-' ),
			esc_html( $result->note )
		);
	}
}
