<?php

use Bitcache\Access\GrantRefused;
use Bitcache\Access\Grants;
use PHPUnit\Framework\TestCase;

/** The same examples as for Python and JavaScript, forged ones included. */
final class GrantVectorsTest extends TestCase {

	const FILE = __DIR__ . '/../../vectors/grants.json';

	public static function cases(): array {
		$cases = array();
		foreach ( json_decode( file_get_contents( self::FILE ), true )['cases'] as $case ) {
			// A good link or receipt is tried, too: it is no grant. What is no good link may be a grant.
			if ( Grants::PURPOSE === $case['purpose'] || ( 'valid' === $case['expect'] && null !== $case['item'] ) ) {
				$cases[ $case['purpose'] . ': ' . $case['name'] ] = array( $case );
			}
		}
		return $cases;
	}

	/** @dataProvider cases */
	public function test_each_token_is_read_like_everywhere( array $case ): void {
		$expected = Grants::PURPOSE === $case['purpose'] ? $case['expect'] : 'invalid';
		try {
			$claims = Grants::verify( $case['token'], $case['secrets'], $case['site'], $case['item'], $case['now'] );
			$this->assertSame( 'valid', $expected );
			$this->assertSame( $case['claims'], get_object_vars( $claims ) );
		} catch ( GrantRefused $refused ) {
			$this->assertSame( 'grant_' . $expected, $refused->getMessage() );
		}
	}

	public function test_there_are_good_and_forged_ones(): void {
		$expected = array_count_values( array_column( json_decode( file_get_contents( self::FILE ), true )['cases'], 'expect' ) );
		$this->assertGreaterThan( 5, $expected['valid'] );
		$this->assertGreaterThan( 20, $expected['invalid'] );
	}
}
