<?php

use PHPUnit\Framework\TestCase;

/** `php -l`, for all files of the plugin at once. */
final class SyntaxTest extends TestCase {

	public function test_every_file_can_be_read(): void {
		$count = 0;
		$all   = new RecursiveIteratorIterator( new RecursiveDirectoryIterator( dirname( BITCACHE_FILE ), FilesystemIterator::SKIP_DOTS ) );
		foreach ( $all as $file ) {
			if ( 'php' === $file->getExtension() ) {
				try {
					token_get_all( file_get_contents( $file->getPathname() ), TOKEN_PARSE );
				} catch ( ParseError $error ) {
					$this->fail( $file->getPathname() . ': ' . $error->getMessage() );
				}
				++$count;
			}
		}
		$this->assertGreaterThan( 100, $count );
	}
}
