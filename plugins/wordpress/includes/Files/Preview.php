<?php
/**
 * The picture that strangers see.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

/**
 * A small public JPEG, drawn anew, so nothing of the original file (EXIF, the thumbnail inside
 * it, colour profile) is left in it. "blur" holds no more than 32 points across, of small
 * pictures an eighth of their own; "crop" shows the middle of the picture; "icon" shows nothing.
 */
final class Preview {

	/** What the owner chose for an attachment: "blur" (or ""), "crop" or "icon". */
	const CHOICE = '_bitcache_preview';

	/** Path of the picture below the uploads folder. */
	const FILE = '_bitcache_preview_file';

	const FOLDER = 'bitcache-previews';

	/** Points across that a blurred preview holds. */
	const GRAIN = 32;

	/** Width of previews in pixels. */
	const WIDTH = 480;

	/** Share of width and height that "crop" shows. */
	const SHARE = 0.4;

	/** Largest picture that is read to make one, in pixels. */
	const MAX_PIXELS = 40000000;

	/** Return the public address of the preview of an attachment; a lock where there is none. */
	public static function address( int $id ): string {
		$file = get_post_meta( $id, self::FILE, true );
		if ( is_string( $file ) && '' !== $file ) {
			return Paths::address( $file );
		}
		return plugins_url( 'assets/file-locked.svg', BITCACHE_FILE );
	}

	/** Make the preview, in place of the one that was. Where it cannot be made there is none. */
	public static function make( int $id ): void {
		self::delete( $id );
		$choice = (string) get_post_meta( $id, self::CHOICE, true );
		$source = 'icon' === $choice ? null : self::source( $id, 'crop' === $choice );
		if ( null === $source ) {
			return;
		}
		wp_raise_memory_limit( 'image' );
		$bytes = (string) file_get_contents( $source ); // phpcs:ignore WordPress.WP.AlternativeFunctions
		$share = 'crop' === $choice ? self::SHARE : 1.0;
		$jpeg  = '';
		if ( function_exists( 'imagecreatefromstring' ) ) {
			$jpeg = self::by_gd( $bytes, $share );
		}
		if ( '' === $jpeg && class_exists( '\Imagick' ) ) {
			$jpeg = self::by_imagick( $bytes, $share );
		}
		$rel  = self::FOLDER . '/' . $id . '-' . bin2hex( random_bytes( 4 ) ) . '.jpg';
		$path = Paths::shown( $rel );
		if ( '' !== $jpeg && wp_mkdir_p( dirname( $path ) ) && strlen( $jpeg ) === file_put_contents( $path, $jpeg ) ) { // phpcs:ignore
			update_post_meta( $id, self::FILE, $rel );
		}
	}

	/** Delete the preview of an attachment. */
	public static function delete( int $id ): void {
		$file = get_post_meta( $id, self::FILE, true );
		if ( is_string( $file ) && 0 === strpos( $file, self::FOLDER . '/' ) && Folder::is_safe( $file ) ) {
			wp_delete_file( Paths::shown( $file ) );
		}
		delete_post_meta( $id, self::FILE );
	}

	/** Return the path of a picture to draw from: no larger than needed. Null where there is none. */
	private static function source( int $id, bool $large ): ?string {
		$main = Paths::main( $id );
		$meta = get_post_meta( $id, '_wp_attachment_metadata', true );
		if ( null === $main ) {
			return null;
		}
		$folder = '.' === dirname( $main ) ? '' : dirname( $main ) . '/';
		foreach ( $large ? array( 'large', 'medium_large', 'full' ) : array( 'medium', 'full' ) as $size ) {
			$file = is_array( $meta ) ? ( $meta['sizes'][ $size ]['file'] ?? '' ) : '';
			if ( is_string( $file ) && '' !== $file && Folder::has( $folder . $file ) ) {
				return Folder::file( $folder . $file );
			}
		}
		if ( 0 !== strpos( (string) get_post_mime_type( $id ), 'image/' ) || ! Folder::has( $main ) ) {
			return null;
		}
		$size = wp_getimagesize( Folder::file( $main ) );
		return is_array( $size ) && $size[0] * $size[1] <= self::MAX_PIXELS ? Folder::file( $main ) : null;
	}

	/** Return a JPEG, or "" where GD cannot read the picture. */
	private static function by_gd( string $bytes, float $share ): string {
		$image = @imagecreatefromstring( $bytes ); // phpcs:ignore
		if ( false === $image ) {
			return '';
		}
		$width  = imagesx( $image );
		$height = imagesy( $image );
		$image  = self::piece( $image, $width, $height, $share );
		if ( $share >= 1 ) {
			$image = self::resized( $image, self::grain( $width ) );
			imagefilter( $image, IMG_FILTER_GAUSSIAN_BLUR );
			$image = self::resized( $image, self::WIDTH );
			for ( $i = 0; $i < 6; $i++ ) {
				imagefilter( $image, IMG_FILTER_GAUSSIAN_BLUR );
			}
		} else {
			$image = self::resized( $image, (int) min( self::WIDTH, imagesx( $image ) ) );
		}
		ob_start();
		imagejpeg( $image, null, 60 );
		return (string) ob_get_clean();
	}

	/**
	 * @param resource|\GdImage $image on any ground.
	 * @return resource|\GdImage the middle of it, on white.
	 */
	private static function piece( $image, int $width, int $height, float $share ) {
		$wide = max( 1, (int) round( $width * $share ) );
		$high = max( 1, (int) round( $height * $share ) );
		$out  = imagecreatetruecolor( $wide, $high );
		imagefill( $out, 0, 0, imagecolorallocate( $out, 255, 255, 255 ) );
		imagecopy( $out, $image, 0, 0, intdiv( $width - $wide, 2 ), intdiv( $height - $high, 2 ), $wide, $high );
		return $out;
	}

	/**
	 * @param resource|\GdImage $image in true colour.
	 * @return resource|\GdImage as wide as asked for.
	 */
	private static function resized( $image, int $wide ) {
		$high = self::high( $wide, imagesx( $image ), imagesy( $image ) );
		$out  = imagecreatetruecolor( $wide, $high );
		imagecopyresampled( $out, $image, 0, 0, 0, 0, $wide, $high, imagesx( $image ), imagesy( $image ) );
		return $out;
	}

	/** Return how many points across a blurred preview holds. */
	private static function grain( int $width ): int {
		return max( 1, min( self::GRAIN, intdiv( $width, 8 ) ) );
	}

	/** Return how high a picture becomes; one like a ribbon is pressed together. */
	private static function high( int $wide, int $width, int $height ): int {
		return max( 1, min( 4 * $wide, (int) round( $wide * $height / $width ) ) );
	}

	/** Return a JPEG, or "" where Imagick cannot read the picture. */
	private static function by_imagick( string $bytes, float $share ): string {
		try {
			$image = new \Imagick();
			$image->readImageBlob( $bytes );
			// Of what moves, the first picture alone.
			$image->setIteratorIndex( 0 );
			$image = $image->getImage();
			$image->setImageBackgroundColor( 'white' );
			$image = $image->mergeImageLayers( \Imagick::LAYERMETHOD_FLATTEN );
			$width = $image->getImageWidth();
			$tall  = $image->getImageHeight();
			if ( $share < 1 ) {
				$edge = ( 1 - $share ) / 2;
				$image->cropImage( max( 1, (int) ( $width * $share ) ), max( 1, (int) ( $tall * $share ) ), (int) ( $width * $edge ), (int) ( $tall * $edge ) );
				$image->setImagePage( 0, 0, 0, 0 );
				$wide = min( self::WIDTH, $image->getImageWidth() );
				$image->thumbnailImage( $wide, self::high( $wide, $image->getImageWidth(), $image->getImageHeight() ) );
			} else {
				$grain = self::grain( $width );
				$image->thumbnailImage( $grain, self::high( $grain, $width, $tall ) );
				$image->gaussianBlurImage( 1, 0.8 );
				$image->resizeImage( self::WIDTH, self::high( self::WIDTH, $width, $tall ), \Imagick::FILTER_GAUSSIAN, 1.5 );
			}
			$image->stripImage();
			$image->setImageFormat( 'jpeg' );
			$image->setImageCompressionQuality( 60 );
			return $image->getImageBlob();
		} catch ( \ImagickException $error ) {
			return '';
		}
	}
}
