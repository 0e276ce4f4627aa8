<?php

use Bitcache\Words;
use PHPUnit\Framework\TestCase;

final class WordsTest extends TestCase {

	private function in( string $locale ): Words {
		Stand_In::$options = array( 'locale' => $locale );
		return new Words();
	}

	public function test_related_locales_have_their_language(): void {
		foreach ( array( 'de_DE', 'de_AT', 'de_DE_formal', 'de' ) as $locale ) {
			$this->assertSame( 'Verbinden', $this->in( $locale )->translate( 'Connect', 'Connect' ), $locale );
		}
		$this->assertSame( 'Connecter', $this->in( 'fr_CA' )->translate( 'Connect', 'Connect' ) );
	}

	public function test_others_stay_english(): void {
		foreach ( array( 'en_US', 'xx_YY', '../../x', 'dex', '' ) as $locale ) {
			$this->assertSame( 'Connect', $this->in( $locale )->translate( 'Connect', 'Connect' ), $locale );
		}
	}

	public function test_somebody_elses_translation_counts(): void {
		$this->assertSame( 'Koppeln', $this->in( 'de_DE' )->translate( 'Koppeln', 'Connect' ) );
	}

	public function test_plurals_follow_the_language(): void {
		$german = $this->in( 'de_DE' );
		$this->assertSame( '%d Verkauf', $german->translate_plural( '%d sale', '%d sale', '%d sales', 1 ) );
		$this->assertSame( '%d Verkäufe', $german->translate_plural( '%d sales', '%d sale', '%d sales', 0 ) );
		$this->assertSame( '%d vente', $this->in( 'fr_FR' )->translate_plural( '%d sales', '%d sale', '%d sales', 0 ) );
	}

	public function test_scripts_get_the_same_sentences(): void {
		$this->in( 'de_DE' );
		$this->assertStringContainsString( '"Connect":["Verbinden"]', Words::for_script() );
		$this->assertStringContainsString( '"%d sale":["%d Verkauf","%d Verk\u00e4ufe"]', Words::for_script() );
		$this->in( 'en_US' );
		$this->assertSame( '', Words::for_script() );
	}
}
