<?php

use Bitcache\Shop\Minor;
use PHPUnit\Framework\TestCase;

final class MinorTest extends TestCase {

	public static function amounts(): array {
		return array(
			array( '12.50', 'EUR', 1250 ),
			array( '12.5', 'EUR', 1250 ),
			array( '0.05', 'USD', 5 ),
			array( 0.1 + 0.2, 'USD', 30 ),
			array( '0.005', 'USD', 1 ),
			array( '0.0049', 'USD', 0 ),
			array( '-1.005', 'USD', -101 ),
			array( '1200', 'JPY', 1200 ),
			array( '1200.5', 'JPY', 1201 ),
			array( '1.2345', 'KWD', 1235 ),
			array( '7', 'SAT', 7 ),
			array( '9007199254.99', 'EUR', 900719925499 ),
		);
	}

	/** @dataProvider amounts */
	public function test_amounts_become_whole_numbers( $amount, string $currency, int $minor ): void {
		$this->assertSame( $minor, Minor::of( $amount, $currency ) );
	}

	public static function no_amounts(): array {
		return array( array( '' ), array( '1,5' ), array( '1e3' ), array( 'NaN' ), array( '0x10' ), array( "1\n2" ) );
	}

	/** @dataProvider no_amounts */
	public function test_what_is_no_amount_is_refused( string $text ): void {
		$this->expectException( InvalidArgumentException::class );
		Minor::of( $text, 'EUR' );
	}
}
