<?php
/**
 * From the address of a server to a connection.
 *
 * @package Bitcache
 */

namespace Bitcache\Admin;

use Bitcache\Server\Client;
use Bitcache\Server\Connection;
use Bitcache\Server\Discovery;
use Bitcache\Server\Health;
use Bitcache\Server\Queue;
use Bitcache\Server\Schedule;
use Bitcache\Server\ServerError;

/**
 * The authorization code grant of OAuth 2 with PKCE (RFC 6749, 7636, 9207), or a secret by hand.
 *
 * What waits for the answer is kept with the administrator who asked, holds for ten minutes, in
 * the same session, for one answer.
 */
final class Connect {

	/** What waits for an answer, in the metadata of the user; the site's number follows. */
	const PENDING = '_bitcache_connect_';

	/** The answer must come within this, in seconds. */
	const PATIENCE_S = 600;

	/** What the server tells the merchant that asks. */
	const CLIENT_NAME = 'WordPress: %s';

	/** In the query of the front page, where wp-admin is on another origin than the pages. */
	const VIA_FRONT = 'bitcache_connected';

	/** Attach every hook. */
	public function register(): void {
		add_action( 'admin_post_bitcache_connect', array( $this, 'start' ) );
		add_action( 'admin_post_bitcache_by_hand', array( $this, 'by_hand' ) );
		add_action( 'admin_post_bitcache_disconnect', array( $this, 'disconnect' ) );
		add_action( 'load-toplevel_page_' . SettingsPage::SLUG, array( $this, 'answer' ) );
		add_action( 'template_redirect', array( $this, 'pass_on' ), 0 );
	}

	/** The button "Connect": ask the server where its consent page is, and go there. */
	public function start(): void {
		self::guard( 'bitcache_connect' );
		$typed  = self::posted( 'server' );
		$origin = Discovery::read_address( $typed );
		try {
			$found = Discovery::read( new Client(), $origin );
		} catch ( ServerError $error ) {
			Flash::keep( 'error', Discovery::words( $error ), array( 'server' => $typed ) );
			self::back();
		}
		if ( ! Discovery::is_safe( Health::origin() ) ) {
			Flash::keep( 'error', __( 'This site’s own address begins with http://. Readers’ browsers pay on secure pages only: change it to https:// under Settings, General.', 'bitcache' ), array( 'server' => $typed ) );
			self::back();
		}
		$state    = self::random();
		$verifier = self::random();
		$pending  = array(
			'state'    => hash( 'sha256', $state ),
			'session'  => self::session(),
			'verifier' => $verifier,
			'issuer'   => $found['issuer'],
			'token'    => $found['token'],
			'facts'    => $found['facts'],
			'back'     => self::return_url(),
			'until'    => time() + self::PATIENCE_S,
		);
		update_user_meta( get_current_user_id(), self::pending_key(), $pending );
		$query = array(
			'response_type'         => 'code',
			'client_name'           => self::client_name(),
			'redirect_uri'          => $pending['back'],
			'origin'                => Health::origin(),
			'state'                 => $state,
			'code_challenge'        => self::base64url( hash( 'sha256', $verifier, true ) ),
			'code_challenge_method' => 'S256',
		) + Proposal::fields();
		nocache_headers();
		// phpcs:ignore WordPress.Security.SafeRedirect -- leading elsewhere is the purpose.
		wp_redirect( $found['authorize'] . '?' . http_build_query( $query, '', '&', PHP_QUERY_RFC3986 ), 303 );
		exit;
	}

	/** The way back: the merchant's browser brings a code, or a no. */
	public function answer(): void {
		$state = self::given( 'state' );
		if ( '' === $state || ( '' === self::given( 'code' ) && '' === self::given( 'error' ) ) ) {
			return;
		}
		if ( ! current_user_can( 'manage_options' ) ) {
			return;
		}
		$pending = self::take_pending( $state );
		if ( ! $pending ) {
			Flash::keep( 'error', __( 'This answer is too old, was used before, or was asked for in another browser. Press Connect once more.', 'bitcache' ) );
		} elseif ( self::given( 'iss' ) !== $pending['issuer'] ) {
			Flash::keep( 'error', __( 'The answer came from another server than the one that was asked. Nothing was changed.', 'bitcache' ) );
		} elseif ( '' !== self::given( 'error' ) ) {
			Flash::keep( 'error', __( 'You chose not to connect. Nothing was changed.', 'bitcache' ), array( 'server' => $pending['issuer'] ) );
		} else {
			$this->exchange( $pending, self::given( 'code' ) );
		}
		// Code and state leave the address bar.
		self::back();
	}

	/** Where wp-admin is on another origin: the front page leads on to it, without a look at the answer. */
	public function pass_on(): void {
		// phpcs:ignore WordPress.Security.NonceVerification -- the state is checked where it arrives.
		if ( ! isset( $_GET[ self::VIA_FRONT ] ) ) {
			return;
		}
		$query = array();
		foreach ( array( 'code', 'state', 'iss', 'error' ) as $name ) {
			$query[ $name ] = self::given( $name );
		}
		$url = SettingsPage::url() . '&' . http_build_query( array_filter( $query, 'strlen' ), '', '&', PHP_QUERY_RFC3986 );
		nocache_headers();
		header( 'Referrer-Policy: no-referrer' );
		header( 'X-Robots-Tag: noindex' );
		header( 'Content-Type: text/html; charset=utf-8' );
		// A redirect would count as a part of the server's form, which may lead to this origin only.
		printf(
			'<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="0;url=%1$s"><title>Bitcache</title></head><body><p><a href="%1$s">%2$s</a></p></body></html>',
			esc_url( $url ),
			esc_html__( 'Go on', 'bitcache' )
		);
		exit;
	}

	/** The form "by hand": an address and a site's secret. */
	public function by_hand(): void {
		self::guard( 'bitcache_by_hand' );
		$typed  = self::posted( 'server' );
		$secret = self::posted( 'secret' );
		$client = new Client();
		try {
			$facts = Discovery::read( $client, Discovery::read_address( $typed ) )['facts'];
			if ( ! preg_match( '/\A[A-Za-z0-9_-]{20,300}\z/', $secret ) ) {
				throw new ServerError( 'bad_secret' );
			}
			$site = $client->site( $facts['api_url'], $secret );
			self::keep( $facts, $site + array( 'site_secret' => $secret ) );
			self::welcome();
		} catch ( ServerError $error ) {
			$words = $error->is_about_secret()
				? __( 'The server does not know this secret. Copy the whole of it: it begins with “bcsk_”.', 'bitcache' )
				: Discovery::words( $error );
			Flash::keep( 'error', $words, array( 'server' => $typed, 'hand' => '1' ) );
		}
		self::back();
	}

	/** The button "Disconnect". */
	public function disconnect(): void {
		self::guard( 'bitcache_disconnect' );
		Connection::forget();
		Health::forget();
		Schedule::unplan();
		Flash::keep( 'success', __( 'This site is not connected any more. What was priced stays locked; those who have paid go on reading when you connect again.', 'bitcache' ) );
		self::back();
	}

	/**
	 * Change the code for the secret, and keep it.
	 *
	 * @param array<string, mixed> $pending what was asked.
	 * @param string               $code    that the merchant's browser brought.
	 */
	private function exchange( array $pending, string $code ): void {
		try {
			$fields = array(
				'grant_type'    => 'authorization_code',
				'code'          => $code,
				'code_verifier' => $pending['verifier'],
				'redirect_uri'  => $pending['back'],
			);
			self::keep( $pending['facts'], ( new Client() )->form( $pending['token'], $fields ) );
			self::welcome();
		} catch ( ServerError $error ) {
			$words = 'invalid_grant' === $error->code_name
				? __( 'The server does not take its answer back: it is older than five minutes, or was used before. Press Connect once more.', 'bitcache' )
				: Discovery::words( $error );
			Flash::keep( 'error', $words, array( 'server' => $pending['issuer'] ) );
		}
	}

	/** Say what comes next. */
	private static function welcome(): void {
		Flash::keep( 'success', __( 'This site is connected. Now write a post, put the block “Paywall” where the paid part begins, and give it a price.', 'bitcache' ), array( 'write' => '1' ) );
	}

	/**
	 * Keep what the server gave, look whether it works, and tell the server of all posts.
	 *
	 * @param array<string, mixed> $facts of the server.
	 * @param array<string, mixed> $given by the token endpoint, or by GET /v1/site.
	 * @throws ServerError Where something is missing.
	 */
	private static function keep( array $facts, array $given ): void {
		$secret = $given['site_secret'] ?? '';
		$site   = $given['site_id'] ?? $given['id'] ?? '';
		$keys   = array_values( array_filter( (array) ( $given['grant_keys'] ?? array() ), 'is_string' ) );
		if ( ! is_string( $secret ) || '' === $secret || ! is_string( $site ) || '' === $site || ! $keys ) {
			throw new ServerError( 'no_bitcache' );
		}
		$facts['site_id']     = sanitize_text_field( $site );
		$facts['merchant_id'] = sanitize_text_field( (string) ( $given['merchant_id'] ?? '' ) );
		Health::forget();
		Connection::save( $facts, $secret, $keys );
		Schedule::plan();
		( new Health() )->look();
		Queue::all();
	}

	/**
	 * Return what waits for this answer, once; nothing for an answer to somebody else's question.
	 *
	 * @param string $state that came back.
	 * @return array<string, mixed>
	 */
	private static function take_pending( string $state ): array {
		$user    = get_current_user_id();
		$pending = get_user_meta( $user, self::pending_key(), true );
		if ( ! is_array( $pending ) || ! hash_equals( $pending['state'], hash( 'sha256', $state ) ) ) {
			return array();
		}
		// Of two at once only one deletes it.
		if ( ! delete_user_meta( $user, self::pending_key() ) ) {
			return array();
		}
		$ours = hash_equals( $pending['session'], self::session() ) && time() < $pending['until'];
		return $ours ? $pending : array();
	}

	/** Return what the server calls us, so that two sites on one host can be told apart. */
	private static function client_name(): string {
		$title = Proposal::title();
		return sprintf( self::CLIENT_NAME, '' === $title ? 'Bitcache' : $title );
	}

	/** Return where the server sends the browser back to: on the origin of this site's pages. */
	private static function return_url(): string {
		$url = SettingsPage::url();
		if ( Discovery::origin_of( $url ) === Health::origin() ) {
			return $url;
		}
		return add_query_arg( self::VIA_FRONT, '1', home_url( '/' ) );
	}

	/** Return what stands for this administrator's session. */
	private static function session(): string {
		return hash( 'sha256', get_current_user_id() . '|' . wp_get_session_token() );
	}

	/** Return the name of the metadata: an administrator of several sites may connect several. */
	private static function pending_key(): string {
		return self::PENDING . get_current_blog_id();
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

	/** Go back to the settings page. */
	private static function back(): void {
		// phpcs:ignore WordPress.Security.SafeRedirect -- our own address; wp-admin may be on another host than the pages.
		wp_redirect( SettingsPage::url(), 303 );
		exit;
	}

	/**
	 * Return a field of our form, as text.
	 *
	 * @param string $name of the field.
	 */
	private static function posted( string $name ): string {
		// phpcs:ignore WordPress.Security.NonceVerification -- `guard` has checked it.
		return is_string( $_POST[ $name ] ?? null ) ? trim( sanitize_text_field( wp_unslash( $_POST[ $name ] ) ) ) : '';
	}

	/**
	 * Return a field of the query, as it was sent; "" for one that is too long to be ours.
	 *
	 * @param string $name of the field.
	 */
	private static function given( string $name ): string {
		// phpcs:ignore WordPress.Security.NonceVerification, WordPress.Security.ValidatedSanitizedInput -- checked against the state.
		$text = is_string( $_GET[ $name ] ?? null ) ? wp_unslash( $_GET[ $name ] ) : '';
		return preg_match( '/\A[\x21-\x7e]{1,500}\z/', $text ) ? $text : '';
	}

	/** Return 32 random bytes as text that fits into an address. */
	private static function random(): string {
		return self::base64url( random_bytes( 32 ) );
	}

	/**
	 * Return bytes in base64url without padding (RFC 4648, section 5).
	 *
	 * @param string $bytes any.
	 */
	private static function base64url( string $bytes ): string {
		return rtrim( strtr( base64_encode( $bytes ), '+/', '-_' ), '=' );
	}
}
