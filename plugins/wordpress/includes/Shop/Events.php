<?php
/**
 * What the server tells of orders.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

use Bitcache\Server\Client;
use Bitcache\Server\Connection;
use Bitcache\Server\ServerError;

/**
 * `POST bitcache/v1/events`: a receiver of webhooks by the Standard Webhooks specification.
 *
 * What is told is only a reason to look: the order's state is read from the server, so an event that
 * comes late, twice or in another order does no harm.
 */
final class Events {

	/** The endpoint's id and secret; loaded only where it is asked for. */
	const OPTION = 'bitcache_events';

	/** Older messages are refused, in seconds. */
	const TOLERANCE_S = 300;

	const TYPES = array( 'order.paid', 'order.expired', 'order.cancelled', 'order.reopened', 'order.refunded', 'invoice.underpaid', 'invoice.credited' );

	/** Attach every hook. */
	public function register(): void {
		add_action( 'rest_api_init', array( $this, 'add_route' ) );
	}

	/** The signature says who calls, so everybody may knock. */
	public function add_route(): void {
		register_rest_route(
			'bitcache/v1',
			'/events',
			array(
				'methods'             => 'POST',
				'callback'            => array( $this, 'receive' ),
				'permission_callback' => '__return_true',
			)
		);
	}

	/**
	 * Ask the server to tell of orders, once for a site and its address. Failing that, the cron job looks.
	 *
	 * @param Client $client calls the server.
	 */
	public static function subscribe( Client $client ): void {
		$url    = rest_url( 'bitcache/v1/events' );
		$stored = get_option( self::OPTION, array() );
		$site   = Connection::site_id();
		if ( is_array( $stored ) && ( $stored['url'] ?? '' ) === $url && ( $stored['site'] ?? '' ) === $site ) {
			return;
		}
		try {
			$made = $client->once(
				'/webhook-endpoints',
				array(
					'url'         => $url,
					'description' => 'WordPress',
					'event_types' => self::TYPES,
				),
				wp_generate_uuid4()
			);
			update_option(
				self::OPTION,
				array(
					'url'    => $url,
					'site'   => $site,
					'id'     => (string) $made['id'],
					'secret' => (string) $made['secret'],
				),
				false
			);
		} catch ( ServerError $error ) {
			// A site on a private address cannot be told anything.
			unset( $error );
		}
	}

	/** Say whether the server was asked to tell of orders, and can. */
	public static function is_told(): bool {
		$stored = get_option( self::OPTION, array() );
		return is_array( $stored ) && ( $stored['site'] ?? '' ) === Connection::site_id() && '' !== ( $stored['secret'] ?? '' );
	}

	/**
	 * Take one event.
	 *
	 * @param \WP_REST_Request $request as it came over the wire.
	 * @return \WP_REST_Response|\WP_Error
	 */
	public function receive( \WP_REST_Request $request ) {
		$body = $request->get_body();
		if ( ! self::is_signed( $request, $body, time() ) ) {
			return new \WP_Error( 'bad_signature', 'The signature is wrong or old.', array( 'status' => 401 ) );
		}
		$event = json_decode( $body, true );
		$data  = is_array( $event ) && isset( $event['data'] ) && is_array( $event['data'] ) ? $event['data'] : array();
		if ( ! function_exists( 'wc_get_order' ) ) {
			return new \WP_REST_Response( null, 204 );
		}
		try {
			$this->take( (string) ( $event['type'] ?? '' ), $data );
		} catch ( ServerError $error ) {
			if ( 404 === $error->status ) {
				// An order of a server that this site was connected to before.
				return new \WP_REST_Response( null, 204 );
			}
			// Not lost: the server sends it again.
			return new \WP_Error( 'try_again', 'The order could not be read.', array( 'status' => 503 ) );
		}
		return new \WP_REST_Response( null, 204 );
	}

	/**
	 * Is the body signed by the endpoint's secret, a short while ago?
	 *
	 * @param \WP_REST_Request $request has the headers.
	 * @param string           $body    as it came.
	 * @param int              $now     Unix seconds.
	 */
	private static function is_signed( \WP_REST_Request $request, string $body, int $now ): bool {
		$stored = get_option( self::OPTION, array() );
		$secret = is_array( $stored ) ? (string) ( $stored['secret'] ?? '' ) : '';
		$key    = base64_decode( (string) preg_replace( '/\Awhsec_/', '', $secret ), true ); // phpcs:ignore WordPress.PHP.DiscouragedPHPFunctions -- the specification's form of a key.
		$at     = (string) $request->get_header( 'webhook-timestamp' );
		if ( '' === $secret || ! is_string( $key ) || '' === $key || ! preg_match( '/\A\d{1,12}\z/', $at ) || abs( $now - (int) $at ) > self::TOLERANCE_S ) {
			return false;
		}
		$signed   = $request->get_header( 'webhook-id' ) . '.' . $at . '.' . $body;
		$expected = 'v1,' . base64_encode( hash_hmac( 'sha256', $signed, $key, true ) ); // phpcs:ignore WordPress.PHP.DiscouragedPHPFunctions -- the specification's form of a signature.
		$good     = false;
		foreach ( explode( ' ', (string) $request->get_header( 'webhook-signature' ) ) as $one ) {
			$good = hash_equals( $expected, $one ) || $good;
		}
		return $good;
	}

	/**
	 * Do what an event asks for.
	 *
	 * @param string               $type of the event.
	 * @param array<string, mixed> $data of the event.
	 * @throws ServerError When the order cannot be read.
	 */
	private function take( string $type, array $data ): void {
		$client = new Client();
		$orders = new Orders( $client );
		if ( 0 === strncmp( $type, 'order.', 6 ) ) {
			$order = Orders::find( (string) ( $data['reference'] ?? '' ) );
			if ( null !== $order && is_string( $data['order'] ?? null ) ) {
				$orders->settle( $order, $client->get( '/orders/' . rawurlencode( $data['order'] ) ) );
			}
			return;
		}
		// An invoice names what it sells; the shop's order knows that by the server's order.
		$order = Orders::find_by_item( (string) ( $data['item'] ?? '' ) );
		if ( null !== $order && is_string( $data['id'] ?? null ) ) {
			$orders->note_money( $order, $type, $data['id'] );
		}
	}
}
