<?php

use Bitcache\Shop\Events;
use PHPUnit\Framework\TestCase;

/** Signatures by the Standard Webhooks specification. */
final class EventsTest extends TestCase {

	const BODY = '{"type":"test","data":{}}';

	protected function setUp(): void {
		Stand_In::reset();
		Stand_In::connect();
		Stand_In::$options['bitcache_events'] = array( 'secret' => 'whsec_' . base64_encode( str_repeat( 'k', 24 ) ) );
	}

	private function request( int $at, string $signed_body, string $prefix = 'v1,' ): WP_REST_Request {
		$signature = base64_encode( hash_hmac( 'sha256', "ev_1.$at.$signed_body", str_repeat( 'k', 24 ), true ) );
		return new WP_REST_Request(
			self::BODY,
			array(
				'webhook-id'        => 'ev_1',
				'webhook-timestamp' => (string) $at,
				'webhook-signature' => 'v1,AAAA ' . $prefix . $signature,
			)
		);
	}

	public function test_a_signed_event_is_taken(): void {
		$answer = ( new Events() )->receive( $this->request( time(), self::BODY ) );
		$this->assertInstanceOf( WP_REST_Response::class, $answer );
		$this->assertSame( 204, $answer->status );
	}

	public function test_another_body_an_old_one_and_another_version_are_refused(): void {
		$events = new Events();
		$wrong  = array(
			$this->request( time(), '{}' ),
			$this->request( time() - 301, self::BODY ),
			$this->request( time() + 301, self::BODY ),
			$this->request( time(), self::BODY, 'v2,' ),
			new WP_REST_Request( self::BODY, array() ),
		);
		foreach ( $wrong as $request ) {
			$answer = $events->receive( $request );
			$this->assertInstanceOf( WP_Error::class, $answer );
			$this->assertSame( 'bad_signature', $answer->code );
		}
	}

	public function test_without_a_secret_nothing_is_taken(): void {
		foreach ( array( array(), array( 'secret' => '' ), array( 'secret' => 'whsec_' ) ) as $stored ) {
			Stand_In::$options['bitcache_events'] = $stored;
			$this->assertInstanceOf( WP_Error::class, ( new Events() )->receive( $this->request( time(), self::BODY ) ) );
		}
	}
}
