<?php
/**
 * What the settings page says about the connection.
 *
 * @package Bitcache
 */

namespace Bitcache\Admin;

use Bitcache\Server\Connection;
use Bitcache\Server\Discovery;
use Bitcache\Server\Health;
use Bitcache\Server\ServerError;

/**
 * Prints markup; changes nothing. No secret is ever printed, only its last four characters.
 */
final class ConnectionPart {

	/**
	 * Print the forms that connect.
	 *
	 * @param array<string, string> $fields as they were filled in before.
	 */
	public function not_connected( array $fields ): void {
		$server = (string) ( $fields['server'] ?? '' );
		echo '<section class="bitcache-card" aria-labelledby="bitcache-connect">';
		echo '<h2 id="bitcache-connect">' . esc_html__( 'Connect this site', 'bitcache' ) . '</h2>';
		echo '<p>' . esc_html__( 'Paste the address of your Bitcache server. On its own page you sign in, or open an account, and confirm; then you come back here.', 'bitcache' ) . '</p>';
		if ( is_multisite() ) {
			// Sites of a network that share a host look alike to the server.
			echo '<p>' . esc_html__( 'Each site of a network is a site of its own: choose “A new site” there, unless this very site was connected before.', 'bitcache' ) . '</p>';
		}
		self::form_begins( 'bitcache_connect', 'bitcache-row' );
		echo '<label for="bitcache-server">' . esc_html__( 'Address of the server', 'bitcache' ) . '</label>';
		self::server_field( 'bitcache-server', $server, empty( $fields['hand'] ) );
		submit_button( __( 'Connect', 'bitcache' ), 'primary', '', false, array( 'id' => 'bitcache-go' ) );
		echo '</form>';
		printf( '<details%s><summary>%s</summary>', empty( $fields['hand'] ) ? '' : ' open', esc_html__( 'Connect by hand', 'bitcache' ) );
		echo '<p>' . esc_html__( 'For servers whose pages your browser does not reach. The site’s secret is under “Sites” on the merchant’s page; it is shown once, when it is made.', 'bitcache' ) . '</p>';
		self::form_begins( 'bitcache_by_hand', 'bitcache-column' );
		echo '<p><label for="bitcache-hand-server">' . esc_html__( 'Address of the server', 'bitcache' ) . '</label>';
		self::server_field( 'bitcache-hand-server', $server, ! empty( $fields['hand'] ) );
		echo '</p><p><label for="bitcache-hand-secret">' . esc_html__( 'The site’s secret', 'bitcache' ) . '</label>';
		echo '<input type="password" id="bitcache-hand-secret" name="secret" class="regular-text code" required autocomplete="off" spellcheck="false" placeholder="bcsk_…"></p>';
		submit_button( __( 'Connect by hand', 'bitcache' ), 'secondary', '', false, array( 'id' => 'bitcache-hand-go' ) );
		echo '</form></details></section>';
	}

	/**
	 * Print what the site is connected to, and how that is.
	 *
	 * @param bool $stale whether the page looks again by itself.
	 */
	public function connected( bool $stale ): void {
		echo '<section class="bitcache-card" aria-labelledby="bitcache-connect">';
		echo '<h2 id="bitcache-connect">' . esc_html__( 'Connection', 'bitcache' ) . '</h2>';
		$name = Connection::site_name();
		/* translators: 1: the name of a site, 2: the address of a server */
		$words = '' === $name ? '%2$s' : __( '“%1$s” at %2$s', 'bitcache' );
		echo '<p class="bitcache-where">' . esc_html( sprintf( $words, $name, (string) preg_replace( '#\Ahttps?://#', '', Connection::server() ) ) ) . '</p>';
		printf(
			'<div id="bitcache-health" data-stale="%d" data-nonce="%s" data-busy="%s">',
			(int) $stale,
			esc_attr( wp_create_nonce( 'bitcache_check' ) ),
			esc_attr__( 'Looking…', 'bitcache' )
		);
		$this->health();
		echo '</div>';
		echo '<div class="bitcache-buttons">';
		printf(
			'<a class="button button-primary" href="%s" target="_blank" rel="noopener noreferrer">%s<span class="screen-reader-text"> %s</span></a>',
			esc_url( Connection::dashboard_url() ),
			esc_html__( 'Sales and payouts', 'bitcache' ),
			esc_html__( '(opens in a new tab)', 'bitcache' )
		);
		self::form_begins( 'bitcache_check', '' );
		submit_button( __( 'Look again', 'bitcache' ), 'secondary', '', false, array( 'id' => 'bitcache-check' ) );
		echo '</form></div>';
		echo '<details><summary>' . esc_html__( 'Secret, connecting again, disconnecting', 'bitcache' ) . '</summary>';
		/* translators: %s: four characters */
		echo '<p>' . esc_html( sprintf( __( 'Secret: set, ends in …%s', 'bitcache' ), Connection::secret_hint() ) ) . '</p>';
		echo '<p>' . esc_html( sprintf( /* translators: %s: an id */ __( 'Site: %s', 'bitcache' ), Connection::site_id() ) ) . '</p>';
		echo '<p>' . esc_html__( 'Connecting again brings a new secret. The old one works for one more day.', 'bitcache' ) . '</p>';
		echo '<div class="bitcache-buttons">';
		self::form_begins( 'bitcache_connect', '' );
		printf( '<input type="hidden" name="server" value="%s">', esc_attr( Connection::server() ) );
		submit_button( __( 'Connect again', 'bitcache' ), 'secondary', '', false, array( 'id' => 'bitcache-again' ) );
		echo '</form>';
		self::form_begins( 'bitcache_disconnect', '' );
		submit_button( __( 'Disconnect', 'bitcache' ), 'delete', '', false, array( 'id' => 'bitcache-off' ) );
		echo '</form></div></details></section>';
	}

	/** Print how the connection is, in words. */
	public function health(): void {
		echo '<ul class="bitcache-health">';
		$marks = array(
			'good'    => array( 'yes-alt', __( 'Good:', 'bitcache' ) ),
			'bad'     => array( 'warning', __( 'Problem:', 'bitcache' ) ),
			'unknown' => array( 'clock', __( 'Unknown:', 'bitcache' ) ),
		);
		foreach ( Health::words() as $line ) {
			printf(
				'<li class="is-%1$s"><span class="dashicons dashicons-%2$s" aria-hidden="true"></span><span><span class="screen-reader-text">%3$s </span><strong>%4$s</strong> %5$s</span></li>',
				esc_attr( $line['state'] ),
				esc_attr( $marks[ $line['state'] ][0] ),
				esc_html( $marks[ $line['state'] ][1] ),
				/* translators: %s: what is looked at, such as "Server" */
				esc_html( sprintf( __( '%s:', 'bitcache' ), $line['name'] ) ),
				esc_html( $line['words'] )
			);
		}
		echo '</ul>';
		if ( Health::looked_at() ) {
			/* translators: %s: a time such as "2 mins" */
			echo '<p class="description">' . esc_html( sprintf( __( 'Looked at %s ago.', 'bitcache' ), human_time_diff( Health::looked_at() ) ) ) . '</p>';
		}
		$last = Health::last();
		if ( $last ) {
			$error = new ServerError( $last['code'], $last['detail'] );
			/* translators: 1: what was tried, 2: a time such as "2 mins", 3: what happened and what to do */
			$words = sprintf( __( 'Last problem: %1$s, %2$s ago. %3$s', 'bitcache' ), $last['doing'], human_time_diff( $last['at'] ), Discovery::words( $error ) );
			echo '<p class="description">' . esc_html( $words ) . '</p>';
		}
	}

	/**
	 * Print the beginning of a form.
	 *
	 * @param string $action of admin-post.php, and of the nonce.
	 * @param string $style  its classes.
	 */
	private static function form_begins( string $action, string $style ): void {
		printf( '<form method="post" action="%s" class="%s">', esc_url( admin_url( 'admin-post.php' ) ), esc_attr( $style ) );
		printf( '<input type="hidden" name="action" value="%s">', esc_attr( $action ) );
		// Several forms of the page have one: without ids.
		printf( '<input type="hidden" name="_wpnonce" value="%s">', esc_attr( wp_create_nonce( $action ) ) );
	}

	/**
	 * Print a field for a server's address. Not type=url: `pay.example` is good enough.
	 *
	 * @param string $id     of the field.
	 * @param string $server what is in it.
	 * @param bool   $first  whether somebody types here first.
	 */
	private static function server_field( string $id, string $server, bool $first ): void {
		printf(
			'<input type="text" inputmode="url" id="%s" name="server" value="%s" class="regular-text code" required autocomplete="url" autocapitalize="none" spellcheck="false" placeholder="https://pay.example"%s>',
			esc_attr( $id ),
			esc_attr( $server ),
			$first ? ' autofocus' : ''
		);
	}
}
