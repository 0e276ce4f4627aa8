<?php
/**
 * The wall's scripts and styles.
 *
 * @package Bitcache
 */

namespace Bitcache\Front;

use Bitcache\Content\Part;
use Bitcache\Server\Connection;
use Bitcache\Settings;

/**
 * Only pages with a wall load anything.
 */
final class Assets {

	const WIDGET = 'bitcache-widget';
	const FRONT  = 'bitcache-front';

	/**
	 * Ask for what a page with this part needs.
	 *
	 * @param Part $part a part that is locked on the page.
	 */
	public static function enqueue( Part $part ): void {
		self::import_map( $part );
		if ( wp_script_is( self::FRONT, 'enqueued' ) ) {
			return;
		}
		add_filter( 'script_loader_tag', array( self::class, 'as_module' ), 10, 2 );
		wp_enqueue_style( self::FRONT, self::url( 'front.css' ), array(), BITCACHE_VERSION );
		$look = Settings::look_css();
		if ( '' !== $look ) {
			wp_add_inline_style( self::FRONT, 'bitcache-paywall{' . $look . '}' );
		}
		wp_enqueue_script( self::FRONT, self::url( 'front.js' ), array(), BITCACHE_VERSION, true );
		if ( Connection::is_connected() && '' !== Connection::widget_url() ) {
			// After ours, which prepares what it reads. Its server says how long it may be kept.
			wp_enqueue_script( self::WIDGET, Connection::widget_url(), array( self::FRONT ), null, true ); // phpcs:ignore -- see above.
		}
	}

	/**
	 * Load our scripts as modules.
	 *
	 * @param string $tag    of the script.
	 * @param string $handle of the script.
	 */
	public static function as_module( $tag, $handle ) {
		if ( self::FRONT !== $handle && self::WIDGET !== $handle ) {
			return $tag;
		}
		$tag = (string) preg_replace( '/\stype=(["\'])text\/javascript\1/', '', (string) $tag );
		return (string) preg_replace( '/<script\b(?![^>]*\stype=)(?=[^>]*\ssrc=)/', '<script type="module"', $tag );
	}

	/**
	 * Name the modules that blocks in a paid part import, while the page is made: browsers learn
	 * later names of modules only in their newest versions. WordPress has modules since 6.5.
	 *
	 * @param Part $part the part.
	 */
	private static function import_map( Part $part ): void {
		if ( ! function_exists( 'wp_enqueue_script_module' ) || ! preg_match_all( '/<!--\s+wp:([a-z][a-z0-9_-]*(?:\/[a-z][a-z0-9_-]*)?)/', $part->html, $found ) ) {
			return;
		}
		$modules = array();
		foreach ( array_unique( $found[1] ) as $name ) {
			$type = \WP_Block_Type_Registry::get_instance()->get_registered( false === strpos( $name, '/' ) ? 'core/' . $name : $name );
			if ( ! $type ) {
				continue;
			}
			foreach ( (array) ( $type->view_script_module_ids ?? array() ) as $id ) {
				$modules[ $id ] = true;
			}
			if ( ! empty( $type->supports['interactivity'] ) ) {
				$modules['@wordpress/interactivity'] = true;
			}
		}
		if ( $modules ) {
			$modules['@wordpress/interactivity'] = true;
			self::enqueue_importer( array_keys( $modules ) );
		}
	}

	/**
	 * Ask for our script as a module that may import others; it is the same file, and runs once.
	 *
	 * @param string[] $ids of modules.
	 */
	private static function enqueue_importer( array $ids ): void {
		$imports = array();
		foreach ( $ids as $id ) {
			$imports[] = array(
				'id'     => $id,
				'import' => 'dynamic',
			);
		}
		wp_enqueue_script_module( self::FRONT, self::url( 'front.js' ), $imports, BITCACHE_VERSION );
	}

	/**
	 * Return the address of a file of ours.
	 *
	 * @param string $name of the file.
	 */
	private static function url( string $name ): string {
		return plugins_url( 'assets/' . $name, BITCACHE_FILE );
	}
}
