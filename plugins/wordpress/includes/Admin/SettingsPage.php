<?php
/**
 * The page "Bitcache" in wp-admin.
 *
 * @package Bitcache
 */

namespace Bitcache\Admin;

use Bitcache\Content\Price;
use Bitcache\Files\Handover;
use Bitcache\Server\Connection;
use Bitcache\Server\Health;
use Bitcache\Server\Sales;
use Bitcache\Settings;

/**
 * Menu, page, and the forms that are not about connecting. Administrators only.
 */
final class SettingsPage {

	const SLUG = 'bitcache';

	/** A look at the connection that is older is made anew when somebody opens the page, in seconds. */
	const FRESH_S = 300;

	/** Attach every hook. */
	public function register(): void {
		add_action( 'admin_menu', array( $this, 'add' ) );
		add_action( 'admin_enqueue_scripts', array( $this, 'load' ) );
		add_action( 'admin_post_bitcache_save', array( $this, 'save' ) );
		add_action( 'admin_post_bitcache_check', array( $this, 'check' ) );
		add_action( 'wp_ajax_bitcache_health', array( $this, 'health' ) );
		add_action( 'activated_plugin', array( $this, 'welcome' ), 10, 2 );
		add_filter( 'plugin_action_links_' . plugin_basename( BITCACHE_FILE ), array( $this, 'link' ) );
	}

	/** Return the address of the page. */
	public static function url(): string {
		return admin_url( 'admin.php?page=' . self::SLUG );
	}

	/** Add the page to the menu. */
	public function add(): void {
		$name = __( 'Bitcache', 'bitcache' );
		add_menu_page( $name, $name, 'manage_options', self::SLUG, array( $this, 'show' ), 'dashicons-money-alt', 81 );
	}

	/**
	 * Load what the page needs, there alone.
	 *
	 * @param string $hook of the page.
	 */
	public function load( $hook ): void {
		if ( 'toplevel_page_' . self::SLUG !== $hook ) {
			return;
		}
		wp_enqueue_style( 'bitcache-settings', plugins_url( 'assets/settings.css', BITCACHE_FILE ), array(), BITCACHE_VERSION );
		wp_enqueue_script( 'bitcache-settings', plugins_url( 'assets/settings.js', BITCACHE_FILE ), array(), BITCACHE_VERSION, true );
	}

	/** Show the page. */
	public function show(): void {
		if ( ! current_user_can( 'manage_options' ) ) {
			return;
		}
		$flash  = Flash::take();
		$fields = $flash ? $flash['fields'] : array();
		echo '<div class="wrap bitcache-page"><h1>' . esc_html__( 'Bitcache', 'bitcache' ) . '</h1>';
		if ( $flash ) {
			printf(
				'<div class="notice notice-%1$s" role="%2$s"><p>%3$s</p>%4$s</div>',
				esc_attr( $flash['kind'] ),
				esc_attr( 'error' === $flash['kind'] ? 'alert' : 'status' ),
				esc_html( $flash['words'] ),
				empty( $fields['write'] ) ? '' : sprintf( '<p><a class="button button-primary" href="%s">%s</a></p>', esc_url( admin_url( 'post-new.php' ) ), esc_html__( 'Write a post', 'bitcache' ) )
			);
		}
		if ( Connection::is_connected() ) {
			( new ConnectionPart() )->connected( time() - Health::looked_at() > self::FRESH_S );
		} else {
			( new ConnectionPart() )->not_connected( $fields );
		}
		( new SettingsForm() )->show( Settings::get() );
		echo '</div>';
	}

	/** Save the form. */
	public function save(): void {
		self::guard( 'bitcache_save' );
		// phpcs:ignore WordPress.Security -- `guard` has checked the nonce; Settings::sanitise cleans all of it.
		$sent = wp_unslash( is_array( $_POST['bitcache'] ?? null ) ? $_POST['bitcache'] : array() );
		// What is not ticked is not sent.
		$sent         += array(
			'default_types' => array(),
			'crawlers'      => false,
			'keep_sales'    => false,
		);
		$rules         = is_array( $sent['rules'] ?? null ) ? $sent['rules'] : array();
		$sent['rules'] = $rules + array( 'free_roles' => array() );
		if ( isset( $sent['look'] ) && is_array( $sent['look'] ) && empty( $sent['look']['own_accent'] ) ) {
			$sent['look']['accent'] = '';
		}
		$typed = $sent['default_price'] ?? '';
		$typed = is_scalar( $typed ) ? trim( (string) $typed ) : '';
		$zero  = (bool) preg_match( '/\A[0.,]*\z/', $typed );
		$wrong = ! $zero && null === Price::parse( $typed, $sent['default_currency'] ?? '' );
		if ( $wrong ) {
			// The price before stays, in its currency: a slip of the finger makes nothing free, or dear.
			unset( $sent['default_price'], $sent['default_currency'] );
		}
		Settings::save( $sent );
		Flash::keep(
			$wrong ? 'error' : 'success',
			$wrong ? __( 'That is no price. Write it like 0.05, and satoshis as a whole number. Everything else was saved.', 'bitcache' ) : __( 'Saved.', 'bitcache' )
		);
		self::back();
	}

	/** The button "Look again", without JavaScript as well. */
	public function check(): void {
		self::guard( 'bitcache_check' );
		( new Health() )->look();
		( new Sales() )->refresh();
		Handover::look();
		self::back();
	}

	/** Look again while the page is open. */
	public function health(): void {
		if ( ! current_user_can( 'manage_options' ) || ! check_ajax_referer( 'bitcache_check', false, false ) ) {
			wp_send_json_error( null, 403 );
		}
		( new Health() )->look();
		( new Sales() )->refresh();
		ob_start();
		( new ConnectionPart() )->health();
		wp_send_json_success( array( 'html' => ob_get_clean() ) );
	}

	/**
	 * After somebody switched this plugin on by hand, the next step is this page.
	 *
	 * @param string $plugin  that was switched on.
	 * @param bool   $network whether for all sites of a network.
	 */
	public function welcome( $plugin, $network ): void {
		global $pagenow;
		// phpcs:ignore WordPress.Security.NonceVerification -- WordPress has checked it, and nothing is changed here.
		$alone = 'activate' === ( $_REQUEST['action'] ?? '' ) && 'plugins.php' === $pagenow;
		if ( plugin_basename( BITCACHE_FILE ) !== $plugin || $network || ! $alone || Connection::is_connected() ) {
			return;
		}
		if ( ! wp_doing_ajax() && ! ( defined( 'WP_CLI' ) && WP_CLI ) && current_user_can( 'manage_options' ) ) {
			self::back();
		}
	}

	/**
	 * Add the page to the plugin's line in the list of plugins.
	 *
	 * @param string[] $links that are there.
	 * @return string[]
	 */
	public function link( $links ): array {
		$mine = sprintf( '<a href="%s">%s</a>', esc_url( self::url() ), esc_html__( 'Settings', 'bitcache' ) );
		return array_merge( array( $mine ), (array) $links );
	}

	/**
	 * Go on only for an administrator who sent our form.
	 *
	 * @param string $action of the nonce.
	 */
	private static function guard( string $action ): void {
		if ( ! current_user_can( 'manage_options' ) ) {
			wp_die( esc_html__( 'Only administrators may do this.', 'bitcache' ), '', array( 'response' => 403 ) );
		}
		check_admin_referer( $action );
	}

	/** Go back to the page. */
	private static function back(): void {
		// phpcs:ignore WordPress.Security.SafeRedirect -- our own address; wp-admin may be on another host than the pages.
		wp_redirect( self::url(), 303 );
		exit;
	}
}
