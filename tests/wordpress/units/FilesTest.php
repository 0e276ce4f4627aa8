<?php

use Bitcache\Files\Ranges;
use Bitcache\Files\Types;
use PHPUnit\Framework\TestCase;

final class FilesTest extends TestCase {

	public static function ranges(): array {
		return array(
			'none'                => array( '', null ),
			'first bytes'         => array( 'bytes=0-9', array( 0, 9 ) ),
			'one byte'            => array( 'bytes=99-99', array( 99, 99 ) ),
			'to the end'          => array( 'bytes=10-', array( 10, 99 ) ),
			'past the end'        => array( 'bytes=90-500', array( 90, 99 ) ),
			'last bytes'          => array( 'bytes=-7', array( 93, 99 ) ),
			'more than there are' => array( 'bytes=-500', array( 0, 99 ) ),
			'spaces, capitals'    => array( 'Bytes = 1 - 2', array( 1, 2 ) ),
			'after the end'       => array( 'bytes=100-', false ),
			'last no bytes'       => array( 'bytes=-0', false ),
			'several'             => array( 'bytes=0-1,5-6', null ),
			'other unit'          => array( 'lines=1-2', null ),
			'nothing said'        => array( 'bytes=-', null ),
			'backwards'           => array( 'bytes=9-1', null ),
			'a line end'          => array( "bytes=0-1\n", null ),
			'too many digits'     => array( 'bytes=0-99999999999999999999', null ),
			'negative'            => array( 'bytes=--1', null ),
		);
	}

	/** @dataProvider ranges */
	public function test_one_range_of_a_hundred_bytes( string $header, $expected ): void {
		$this->assertSame( $expected, Ranges::parse( $header, 100 ) );
	}

	public function test_an_empty_file_has_no_range(): void {
		$this->assertFalse( Ranges::parse( 'bytes=0-', 0 ) );
		$this->assertFalse( Ranges::parse( 'bytes=-5', 0 ) );
	}

	public function test_a_range_holds_for_the_same_file_only(): void {
		$date = 'Sun, 22 Nov 2026 13:00:00 GMT';
		$this->assertTrue( Ranges::holds( '', '"a"', $date ) );
		$this->assertTrue( Ranges::holds( '"a"', '"a"', $date ) );
		$this->assertTrue( Ranges::holds( $date, '"a"', $date ) );
		$this->assertFalse( Ranges::holds( '"b"', '"a"', $date ) );
		$this->assertFalse( Ranges::holds( 'W/"a"', '"a"', $date ) );
		$this->assertFalse( Ranges::holds( 'Sun, 22 Nov 2026 13:00:01 GMT', '"a"', $date ) );
	}

	public function test_what_the_reader_has_already_is_not_sent(): void {
		$time = 1795352400;
		$date = gmdate( 'D, d M Y H:i:s', $time ) . ' GMT';
		$this->assertTrue( Ranges::fresh( '"x", W/"a"', '', '"a"', $time ) );
		$this->assertTrue( Ranges::fresh( '*', '', '"a"', $time ) );
		$this->assertTrue( Ranges::fresh( '', $date, '"a"', $time ) );
		$this->assertFalse( Ranges::fresh( '"x"', $date, '"a"', $time ), 'the tag counts before the date' );
		$this->assertFalse( Ranges::fresh( '', $date, '"a"', $time + 1 ) );
		$this->assertFalse( Ranges::fresh( '', 'yesterday-ish?', '"a"', $time ) );
		$this->assertFalse( Ranges::fresh( '', '', '"a"', $time ) );
	}

	public static function active(): array {
		return array( array( 'a.html' ), array( 'a.svg' ), array( 'a.xml' ), array( 'a.js' ), array( 'a.php' ), array( 'a' ), array( 'a.jpg.svg' ), array( '.htaccess' ) );
	}

	/** @dataProvider active */
	public function test_nothing_that_could_run_is_shown( string $name ): void {
		$this->assertSame( 'application/octet-stream', Types::of( $name ) );
		$this->assertStringStartsWith( 'attachment;', Types::disposition( $name, false ) );
		$this->assertStringContainsString( 'sandbox', Types::policy( $name ) );
	}

	public function test_names_are_sent_as_rfc_6266_says(): void {
		$this->assertSame( 'inline; filename="a b.jpg"', Types::disposition( 'a b.jpg', false ) );
		$this->assertSame( 'attachment; filename="a.jpg"', Types::disposition( 'a.jpg', true ) );
		$this->assertSame( "inline; filename=\"_.png\"; filename*=UTF-8''%D1%84.png", Types::disposition( 'ф.png', false ) );
		$this->assertSame( "attachment; filename=\"a_b.zip\"; filename*=UTF-8''a%22b.zip", Types::disposition( "a\"\r\nb.zip", false ) );
		$this->assertSame( 'attachment; filename="..-..-x.zip"', Types::disposition( '../../x.zip', false ) );
	}
}
