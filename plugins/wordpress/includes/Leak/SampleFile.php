<?php
/**
 * Planted files.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

use Bitcache\Files\Vault;

/**
 * A text file with a canary and a picture with its sizes, both priced, and where they used to be.
 */
final class SampleFile {

	/** @var int the attachment */
	public $id;

	/** @var string a word inside the file; '' for a picture */
	public $secret;

	/** @var string[] addresses under which the web server had it */
	public $urls;

	/**
	 * Keep what was planted.
	 *
	 * @param int      $id     the attachment.
	 * @param string   $secret a word inside it.
	 * @param string[] $urls   where it used to be.
	 */
	private function __construct( int $id, string $secret, array $urls ) {
		$this->id     = $id;
		$this->secret = $secret;
		$this->urls   = $urls;
	}

	/**
	 * Plant the files.
	 *
	 * @return SampleFile[]
	 */
	public static function plant(): array {
		$secret = 'bcsecret' . bin2hex( random_bytes( 8 ) );
		$files  = array( self::store( 'txt', 'text/plain', 'Nobody reads ' . $secret . " before it is paid.\n", $secret ) );
		if ( function_exists( 'imagecreatetruecolor' ) ) {
			$files[] = self::store( 'png', 'image/png', self::picture(), '' );
		}
		return array_values( array_filter( $files ) );
	}

	/** Remove what a test that broke off had written and not noted yet; the names are of its own making. */
	public static function sweep(): void {
		$found = glob( wp_upload_dir()['path'] . '/bcleak*' );
		foreach ( is_array( $found ) ? $found : array() as $file ) {
			if ( preg_match( '/\Abcleak[0-9a-f]{16}[-.]/', basename( $file ) ) ) {
				wp_delete_file( $file );
			}
		}
	}

	/** Write a file into the uploads folder and give it a price; null where that cannot be done. */
	private static function store( string $ending, string $type, string $bytes, string $secret ): ?self {
		require_once ABSPATH . 'wp-admin/includes/image.php';
		$upload = wp_upload_bits( 'bcleak' . bin2hex( random_bytes( 8 ) ) . '.' . $ending, null, $bytes );
		if ( ! empty( $upload['error'] ) ) {
			return null;
		}
		$fields = array(
			'post_title'     => 'Bitcache leak test',
			'post_content'   => '',
			'post_status'    => 'inherit',
			'post_mime_type' => $type,
		);
		$id     = (int) wp_insert_attachment( $fields, $upload['file'] );
		Canary::note( $id );
		$meta = wp_generate_attachment_metadata( $id, $upload['file'] );
		wp_update_attachment_metadata( $id, $meta );
		$urls = array( $upload['url'] );
		foreach ( isset( $meta['sizes'] ) ? $meta['sizes'] : array() as $size ) {
			$urls[] = dirname( $upload['url'] ) . '/' . $size['file'];
		}
		Canary::price( $id );
		Vault::settle( $id );
		return new self( $id, $secret, $urls );
	}

	/** Return a picture of coloured noise as PNG. */
	private static function picture(): string {
		$image = imagecreatetruecolor( 640, 480 );
		for ( $at = 0; $at < 300; $at++ ) {
			$colour = imagecolorallocate( $image, wp_rand( 0, 255 ), wp_rand( 0, 255 ), wp_rand( 0, 255 ) );
			imagefilledellipse( $image, wp_rand( 0, 640 ), wp_rand( 0, 480 ), wp_rand( 10, 90 ), wp_rand( 10, 90 ), $colour );
		}
		ob_start();
		imagepng( $image );
		return (string) ob_get_clean();
	}
}
