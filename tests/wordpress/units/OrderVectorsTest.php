<?php

use Bitcache\Shop\OrderToken;
use Bitcache\Shop\PayButton;
use PHPUnit\Framework\TestCase;

/** Links and tokens of orders: the same examples as for Python and JavaScript, forged ones included. */
final class OrderVectorsTest extends TestCase {

	const FILE = __DIR__ . '/../../vectors/orders.json';

	private static function cases( string $kind ): array {
		$cases = array();
		foreach ( json_decode( file_get_contents( self::FILE ), true )[ $kind ] as $case ) {
			$cases[ $case['name'] ] = array( $case );
		}
		return $cases;
	}

	public static function links(): array {
		return self::cases( 'links' );
	}

	public static function tokens(): array {
		return self::cases( 'tokens' );
	}

	/** @dataProvider links */
	public function test_each_link_is_signed_like_everywhere( array $case ): void {
		$made = array();
		foreach ( $case['secrets'] as $secret ) {
			$made[] = PayButton::signature( $case['parameters'], $secret );
		}
		$this->assertSame( $case['valid'], in_array( $case['signature'], $made, true ) );
	}

	/** @dataProvider tokens */
	public function test_each_token_is_read_like_everywhere( array $case ): void {
		Stand_In::reset();
		Stand_In::connect();
		Stand_In::$options['bitcache_secret']['keys'] = $case['secrets'];
		$read = OrderToken::read( $case['token'] );
		$this->assertSame( $case['valid'], null !== $read );
		if ( $case['valid'] ) {
			$claims = array_intersect_key( $case['claims'], array_flip( array( 'site', 'order', 'reference', 'state', 'total_minor', 'currency' ) ) );
			$this->assertSame( array_combine( array( 's', 'o', 'r', 't', 'a', 'c' ), $claims ), $read );
		}
		Stand_In::$options['bitcache_connection']['site_id'] = 'st_another';
		$this->assertNull( OrderToken::read( $case['token'] ) );
	}
}
