<?php
/**
 * A file for sale in a post.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

use Bitcache\Front\Renderer;
use Bitcache\Front\Wall;
use Bitcache\Surfaces\Gate;

/**
 * Block `bitcache/file`, shortcode `[bitcache_file id="…"]`, attachment pages, and WordPress' own
 * blocks of a picture, sound, film or download that has a price of its own. Strangers get the
 * preview, what the file is, and the wall; where it was bought, the file itself.
 */
final class FileBlock {

	/** WordPress' own blocks that show one file, and the attribute that names it. */
	const BLOCKS = array( 'core/image', 'core/audio', 'core/video', 'core/file' );

	/** Make script and style of the block known. */
	public static function assets(): void {
		wp_register_script( 'bitcache-file', plugins_url( 'assets/file.js', BITCACHE_FILE ), array( 'wp-blocks', 'wp-block-editor', 'wp-components', 'wp-element', 'wp-i18n', 'wp-server-side-render' ), BITCACHE_VERSION, true );
		wp_register_style( 'bitcache-file', plugins_url( 'assets/file.css', BITCACHE_FILE ), array(), BITCACHE_VERSION );
	}

	/** @param array<string, mixed> $attributes of the block. */
	public static function block( $attributes ): string {
		return self::render( (int) ( $attributes['id'] ?? 0 ) );
	}

	/** @param array<string, string>|string $attributes of the shortcode. */
	public static function shortcode( $attributes ): string {
		$attributes = shortcode_atts( array( 'id' => '0' ), is_array( $attributes ) ? $attributes : array(), 'bitcache_file' );
		return self::render( absint( $attributes['id'] ) );
	}

	/**
	 * Put the wall where one of WordPress' own blocks shows a file that is sold alone.
	 *
	 * @param string               $html  of the block.
	 * @param array<string, mixed> $block as it is stored.
	 */
	public static function instead( $html, $block ): string {
		$id = (int) ( $block['attrs']['id'] ?? 0 );
		return $id > 0 && self::is_walled( $id ) ? self::render( $id ) : (string) $html;
	}

	/** @param string $html of an attachment's page, before its description. */
	public static function page( $html ): string {
		$id = (int) get_the_ID();
		if ( Renderer::post_id() === $id ) {
			// The part that is being rendered is the file itself.
			return '';
		}
		return self::is_walled( $id ) ? self::render( $id ) : (string) $html;
	}

	/**
	 * A player of a private file that was not bought plays nothing.
	 *
	 * @param array<string, mixed> $out      attributes as they count.
	 * @param array<string, mixed> $defaults of the shortcode.
	 * @param array<string, mixed> $given    by the author.
	 * @return array<string, mixed>
	 */
	public static function player( $out, $defaults, $given ): array {
		if ( ! Urls::is_open() && ! is_admin() ) {
			foreach ( $out as $key => $value ) {
				if ( is_string( $value ) && Urls::names_private( $value ) ) {
					$out[ $key ] = '';
				}
			}
		}
		return $out;
	}

	/** Return the HTML of a file for whoever this request is answered to. */
	public static function render( int $id ): string {
		$post = get_post( $id );
		if ( ! $post instanceof \WP_Post || 'attachment' !== $post->post_type || null === Paths::main( $id ) ) {
			return '';
		}
		self::assets();
		wp_enqueue_style( 'bitcache-file' );
		if ( ! self::is_walled( $id ) ) {
			// Inside a paid part that was opened, or a file without a price of its own.
			return self::opened( $id );
		}
		$html  = '<figure class="bitcache-file">';
		$html .= wp_attachment_is_image( $id ) || '' !== (string) get_post_meta( $id, Preview::FILE, true )
			? '<img class="bitcache-file-preview" loading="lazy" alt="" src="' . esc_url( Preview::address( $id ) ) . '" />'
			: '';
		$html .= '<figcaption><span class="bitcache-file-name">' . esc_html( get_the_title( $post ) ) . '</span> <span class="bitcache-file-kind">' . esc_html( self::kind( $id ) ) . '</span></figcaption>';
		return $html . ( Gate::is_quiet() ? '' : Wall::place( $post, Priced::KEY, 1 ) ) . '</figure>';
	}

	/** Return the file itself; addresses in it are made links where the text is finished. */
	public static function opened( int $id ): string {
		$main = (string) Paths::main( $id );
		$url  = Vault::has( $id ) ? Urls::place( $id, $main ) : Paths::address( $main );
		$mime = explode( '/', (string) get_post_mime_type( $id ) )[0];
		$save = '<a class="bitcache-file-save" href="' . esc_url( $url ) . '" download="' . esc_attr( Paths::name( $main ) ) . '">' . esc_html__( 'Download', 'bitcache' ) . '</a>';
		if ( 'image' === $mime ) {
			$shown = wp_get_attachment_image( $id, 'large' );
		} elseif ( 'audio' === $mime || 'video' === $mime ) {
			$shown = '<' . $mime . ' controls preload="metadata" src="' . esc_url( $url ) . '"></' . $mime . '>';
		} else {
			$shown = '<span class="bitcache-file-name">' . esc_html( get_the_title( $id ) ) . '</span>';
		}
		return '<figure class="bitcache-file bitcache-file-open">' . $shown . '<figcaption>' . $save . '</figcaption></figure>';
	}

	/** Return whether whoever this request is answered to gets a wall instead of the file. */
	private static function is_walled( int $id ): bool {
		return ! Urls::is_open() && null !== Priced::price( $id ) && ! Right::is_free( $id );
	}

	/** Return what a file is, in words: "PDF, 2 MB". */
	private static function kind( int $id ): string {
		$main = (string) Paths::main( $id );
		$file = get_attached_file( $id );
		$size = is_string( $file ) && is_file( $file ) ? size_format( (int) filesize( $file ), 1 ) : '';
		return strtoupper( Types::ending( $main ) ) . ( $size ? ', ' . $size : '' );
	}
}
