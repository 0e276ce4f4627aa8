<?php

use Bitcache\Shop\PayButton;
use PHPUnit\Framework\TestCase;

final class PayButtonTest extends TestCase {

	protected function setUp(): void {
		Stand_In::reset();
		Stand_In::connect();
	}

	/** The vectors of tests/vectors/orders.json are checked in Python: here, that the form is theirs. */
	public function test_the_link_is_signed_over_every_parameter(): void {
		$sold = array(
			'amount'   => '5',
			'currency' => 'EUR',
			'title'    => 'Käse & Brot',
		);
		$link = PayButton::link( $sold, 'https://blog.example/shop/', 1800000000 );
		parse_str( (string) parse_url( $link, PHP_URL_QUERY ), $query );
		$signature = $query['signature'];
		unset( $query['signature'] );
		ksort( $query );
		$message = '';
		foreach ( $query as $name => $value ) {
			$message .= "$name=$value\n";
		}
		$key = hash_hmac( 'sha256', 'bitcache.order-link.v1', 'bcgk_current', true );
		$this->assertSame( rtrim( strtr( base64_encode( hash_hmac( 'sha256', $message, $key, true ) ), '+/', '-_' ), '=' ), $signature );
		$this->assertSame( array( 'amount', 'currency', 'expires', 'reference', 'return_url', 'site', 'title' ), array_keys( $query ) );
		$this->assertSame( '1800003600', $query['expires'] );
	}

	public function test_each_press_is_an_order_of_its_own_and_leads_back_here_only(): void {
		$sold  = array(
			'amount'   => '5',
			'currency' => 'EUR',
			'title'    => 'Tea',
		);
		$links = array();
		for ( $n = 0; $n < 2; $n++ ) {
			parse_str( (string) parse_url( PayButton::link( $sold, 'https://evil.example/', 1800000000 ), PHP_URL_QUERY ), $query );
			$links[] = $query['reference'];
			$this->assertSame( 'https://blog.example/', $query['return_url'] );
		}
		$this->assertNotSame( $links[0], $links[1] );
	}
}
