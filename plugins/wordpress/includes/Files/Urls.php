<?php
/**
 * What WordPress says about the address of a private file.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

use Bitcache\Access\Visitor;
use Bitcache\Front\Renderer;

/**
 * Strangers get the preview, whoever they are: what a page shows can end up in a cache. Somebody
 * who edits the file in wp-admin gets a link made out to that user. While a bought part is
 * being rendered addresses stay as they are stored, and the finished text is gone through once.
 */
final class Urls {

	/** @var bool whether the REST request that is being answered is an editor's. */
	private static $editing = false;

	/**
	 * @param string|false $file path of the attached file.
	 * @param int          $id   of the attachment.
	 * @return string|false
	 */
	public static function path( $file, $id ) {
		if ( ! is_string( $file ) || ! Vault::has( (int) $id ) ) {
			return $file;
		}
		$rel = Paths::rel( $file );
		return null !== $rel && Folder::has( $rel ) ? Folder::file( $rel ) : $file;
	}

	/**
	 * @param string $short path below the uploads folder, or as it was.
	 * @param string $path  as it was.
	 */
	public static function relative( $short, $path ): string {
		$rel = Vault::is_used() ? Folder::rel( (string) $path ) : null;
		return null !== $rel ? $rel : (string) $short;
	}

	/**
	 * @param string|false $url of the attached file.
	 * @param int          $id  of the attachment.
	 * @return string|false
	 */
	public static function url( $url, $id ) {
		$main = is_string( $url ) && Vault::has( (int) $id ) ? Paths::main( (int) $id ) : null;
		return null === $main ? $url : self::place( (int) $id, $main );
	}

	/**
	 * @param string $url of the picture as it was uploaded.
	 * @param int    $id  of the attachment.
	 */
	public static function original_url( $url, $id ): string {
		$id = (int) $id;
		if ( ! Vault::has( $id ) ) {
			return (string) $url;
		}
		$meta = get_post_meta( $id, '_wp_attachment_metadata', true );
		$main = (string) Paths::main( $id );
		$name = is_array( $meta ) ? (string) ( $meta['original_image'] ?? '' ) : '';
		return self::place( $id, '' === $name ? $main : ltrim( dirname( $main ) . '/' . Paths::name( $name ), './' ) );
	}

	/**
	 * @param mixed            $known what another plugin says.
	 * @param int              $id    of the attachment.
	 * @param string|int[]     $size  name or dimensions.
	 * @return mixed
	 */
	public static function sized( $known, $id, $size ) {
		$id = (int) $id;
		if ( ! Vault::has( $id ) || self::is_open() ) {
			return $known;
		}
		$meta = get_post_meta( $id, '_wp_attachment_metadata', true );
		$main = Paths::main( $id );
		if ( ! is_array( $meta ) || null === $main ) {
			return $known;
		}
		$near = image_get_intermediate_size( $id, $size );
		$name = is_array( $near ) ? Paths::name( (string) $near['file'] ) : '';
		if ( '' === $name && ! wp_attachment_is_image( $id ) ) {
			return $known;
		}
		$wide = (int) ( is_array( $near ) ? $near['width'] : $meta['width'] ?? 0 );
		$high = (int) ( is_array( $near ) ? $near['height'] : $meta['height'] ?? 0 );
		$rel  = '' === $name ? $main : ( '.' === dirname( $main ) ? '' : dirname( $main ) . '/' ) . $name;
		return array( self::place( $id, $rel ), $wide, $high, is_array( $near ) );
	}

	/**
	 * @param array<int, array<string, mixed>>|false $sources by width.
	 * @param int[]                                  $size    width and height.
	 * @param string                                 $src     of the picture.
	 * @param array<string, mixed>                   $meta    of the attachment.
	 * @param int                                    $id      of the attachment.
	 * @return array<int, array<string, mixed>>|false
	 */
	public static function srcset( $sources, $size, $src, $meta, $id ) {
		// One small preview stands for all sizes. In a bought part the addresses are replaced later.
		return Vault::has( (int) $id ) && ! self::is_open() ? false : $sources;
	}

	/**
	 * @param string $guid of a post.
	 * @param int    $id   of it.
	 */
	public static function guid( $guid, $id ): string {
		return Vault::has( (int) $id ) ? home_url( '/?attachment_id=' . (int) $id ) : (string) $guid;
	}

	/** @param string $tag an enclosure of a feed; none for a private file. */
	public static function enclosure( $tag ): string {
		return self::names_private( (string) $tag ) ? '' : (string) $tag;
	}

	/**
	 * Replace addresses of private files in text that is about to be shown.
	 *
	 * @param string $text HTML, or an address.
	 */
	public static function text( $text ): string {
		return is_string( $text ) ? Html::replace( $text, array( self::class, 'final_place' ) ) : (string) $text;
	}

	/**
	 * Keep addresses in posts as they would be without this plugin: links end.
	 *
	 * @param array<string, mixed> $data with slashes.
	 * @return array<string, mixed>
	 */
	public static function saved( $data ): array {
		if ( false !== strpos( (string) $data['post_content'], Links::QUERY . '=' ) ) {
			$data['post_content'] = wp_slash( Html::canonical( wp_unslash( $data['post_content'] ) ) );
		}
		return $data;
	}

	/** @param string $text of a post, in the classic editor. */
	public static function edited( $text ): string {
		return self::for_editor( (string) $text );
	}

	/**
	 * A priced file needs its page, also where WordPress leads such pages to the file.
	 *
	 * @param mixed $value of the option before it is read.
	 * @return mixed
	 */
	public static function keep_page( $value ) {
		return did_action( 'wp' ) && is_attachment() && Vault::has( get_queried_object_id() ) ? '1' : $value;
	}

	/**
	 * @param mixed            $response so far.
	 * @param mixed            $handler  of the route.
	 * @param \WP_REST_Request $request  that is answered.
	 * @return mixed
	 */
	public static function rest_begins( $response, $handler, $request ) {
		$uploads       = 'GET' !== $request->get_method() && 0 === strpos( $request->get_route(), '/wp/v2/' );
		self::$editing = $uploads || 'edit' === $request['context'];
		return $response;
	}

	/**
	 * @param mixed $response that was made.
	 * @return mixed
	 */
	public static function rest_ends( $response ) {
		self::$editing = false;
		return $response;
	}

	/**
	 * @param \WP_REST_Response $response with the attachment.
	 * @param \WP_Post          $post     the attachment.
	 * @param \WP_REST_Request  $request  that is answered.
	 */
	public static function rest_attachment( $response, $post, $request ): \WP_REST_Response {
		if ( ! Vault::has( $post->ID ) || self::is_editor( $post->ID ) ) {
			return $response;
		}
		$data = $response->get_data();
		if ( isset( $data['media_details'] ) ) {
			$data['media_details'] = self::details( (array) $data['media_details'], $post->ID );
		}
		foreach ( array( 'missing_image_sizes', 'exif_orientation', 'filename', 'filesize' ) as $key ) {
			unset( $data[ $key ] );
		}
		$response->set_data( $data );
		return $response;
	}

	/** Show private pictures in the block editor. */
	public static function rest_posts(): void {
		foreach ( get_post_types( array( 'show_in_rest' => true ) ) as $type ) {
			add_filter( 'rest_prepare_' . $type, array( self::class, 'rest_raw' ), 1000, 3 );
		}
		add_filter( 'rest_prepare_revision', array( self::class, 'rest_raw' ), 1000, 3 );
		add_filter( 'rest_prepare_autosave', array( self::class, 'rest_raw' ), 1000, 3 );
	}

	/**
	 * @param \WP_REST_Response $response with the post.
	 * @param \WP_Post          $post     the post.
	 * @param \WP_REST_Request  $request  that is answered.
	 */
	public static function rest_raw( $response, $post, $request ): \WP_REST_Response {
		$data = $response->get_data();
		if ( 'edit' === $request['context'] && isset( $data['content']['raw'] ) && current_user_can( 'edit_post', $post->ID ) ) {
			$data['content']['raw'] = self::for_editor( $data['content']['raw'] );
			$response->set_data( $data );
		}
		return $response;
	}

	/**
	 * @param array<string, mixed> $item as XML-RPC shows it.
	 * @param \WP_Post             $post the attachment.
	 * @return array<string, mixed>
	 */
	public static function xmlrpc( $item, $post ): array {
		if ( Vault::has( $post->ID ) ) {
			$item['link']      = Preview::address( $post->ID );
			$item['thumbnail'] = $item['link'];
			$item['metadata']  = array();
		}
		return $item;
	}

	/** Return whether a bought part is being rendered. */
	public static function is_open(): bool {
		return Renderer::post_id() > 0;
	}

	/** Return whether a text names a private file. */
	public static function names_private( string $text ): bool {
		if ( Vault::is_used() ) {
			foreach ( Html::paths( $text ) as $rel ) {
				if ( Folder::has( $rel ) ) {
					return true;
				}
			}
		}
		return false;
	}

	/** Return the address of a file for whoever this request is answered to. */
	public static function place( int $id, string $rel ): string {
		return self::is_open() ? Paths::address( $rel ) : self::outside( $id, $rel );
	}

	/** Return the same for finished text: addresses of a bought part become links of the reader. */
	public static function final_place( int $id, string $rel ): string {
		if ( self::is_open() && Right::may( $id, Visitor::current() ) ) {
			return Links::make( $id, $rel, Right::holder(), time() );
		}
		return self::outside( $id, $rel );
	}

	/** Return the address for everybody who has not bought anything, and for editors. */
	private static function outside( int $id, string $rel ): string {
		if ( self::is_editor( $id ) ) {
			return Links::make( $id, $rel, Right::USER . get_current_user_id(), time() );
		}
		if ( Right::is_free( $id ) ) {
			return Links::make( $id, $rel, Links::EVERYBODY, 0 );
		}
		return Preview::address( $id );
	}

	/** Return text with links of the user who edits it; what that user may not edit stays. */
	private static function for_editor( string $text ): string {
		return Html::replace(
			$text,
			static function ( int $id, string $rel ): string {
				return current_user_can( 'edit_post', $id ) ? Links::make( $id, $rel, Right::USER . get_current_user_id(), time() ) : Paths::address( $rel );
			}
		);
	}

	/** Return whether somebody edits this attachment: in wp-admin or in an editor's REST call. */
	private static function is_editor( int $id ): bool {
		return ( is_admin() || self::$editing ) && did_action( 'init' ) > 0 && current_user_can( 'edit_post', $id );
	}

	/**
	 * @param array<string, mixed> $details of the REST API.
	 * @return array<string, mixed> what a stranger may know: dimensions and the preview.
	 */
	private static function details( array $details, int $id ): array {
		$kept = array_intersect_key( $details, array_flip( array( 'width', 'height', 'length', 'length_formatted', 'mime_type', 'filesize' ) ) );
		if ( wp_attachment_is_image( $id ) ) {
			$kept['sizes'] = array(
				'full' => array(
					'file'       => Paths::name( Preview::address( $id ) ),
					'width'      => (int) ( $details['width'] ?? 0 ),
					'height'     => (int) ( $details['height'] ?? 0 ),
					'mime_type'  => 'image/jpeg',
					'source_url' => Preview::address( $id ),
				),
			);
		}
		return $kept;
	}
}
