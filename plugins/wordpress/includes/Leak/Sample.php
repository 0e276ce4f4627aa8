<?php
/**
 * One planted post.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

/**
 * The words of a planted post: one that everybody may see, and others that nobody may.
 */
final class Sample {

	/** @var int the post */
	public $id = 0;

	/** @var string block, wrap, shortcode or price */
	public $way;

	/** @var string what the test's own requests prove themselves with */
	public $token;

	/** @var string its title; holds a word that is nowhere else */
	public $title;

	/** @var string its name in addresses */
	public $slug;

	/** @var string its address */
	public $url = '';

	/** @var string a word of the teaser */
	public $public;

	/** @var string a word of the paid part */
	public $secret;

	/**
	 * Draw the words.
	 *
	 * @param string $way   how the post is locked.
	 * @param string $token proof of the test's requests.
	 */
	public function __construct( string $way, string $token ) {
		$this->way    = $way;
		$this->token  = $token;
		$this->slug   = 'bcslug' . bin2hex( random_bytes( 8 ) );
		$this->title  = 'Bitcache leak test bctitle' . bin2hex( random_bytes( 8 ) );
		$this->public = 'bcpublic' . bin2hex( random_bytes( 8 ) );
		$this->secret = 'bcsecret' . bin2hex( random_bytes( 8 ) );
	}

	/** Return the text of the post as it is stored. */
	public function content(): string {
		$teaser = $this->paragraph( 'Everybody reads ' . $this->public . '.' );
		$paid   = $this->paragraph( 'Nobody reads ' . $this->secret . ' before it is paid.' );
		switch ( $this->way ) {
			case 'block':
				return $teaser . "<!-- wp:bitcache/paywall /-->\n\n" . $paid;
			case 'wrap':
				return $teaser . "<!-- wp:bitcache/paid {\"part\":\"extra\",\"price\":\"0.02\",\"currency\":\"USD\"} -->\n"
					. $paid . "<!-- /wp:bitcache/paid -->\n";
			case 'shortcode':
				return 'Everybody reads ' . $this->public . ".\n\n[bitcache_paywall]\n\nNobody reads " . $this->secret . ' before it is paid.';
			default:
				return $teaser . $paid;
		}
	}

	/** Return a paragraph as the block editor stores it. */
	private function paragraph( string $text ): string {
		return "<!-- wp:paragraph -->\n<p>" . $text . "</p>\n<!-- /wp:paragraph -->\n\n";
	}
}
