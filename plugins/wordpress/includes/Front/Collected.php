<?php
/**
 * The styles and scripts that blocks ask for.
 *
 * @package Bitcache
 */

namespace Bitcache\Front;

/**
 * Notes what is asked for between `begin` and `end`, with everything it depends on. The page may
 * have some of it already: the reader's browser knows, and loads each once.
 */
final class Collected {

	/** Hooks on which blocks print what does not go through a queue. */
	const PRINTERS = array( 'wp_head', 'wp_footer', 'wp_print_footer_scripts' );

	/** @var string HTML that belongs at the end of the page (masks, overlays). */
	public $html = '';

	/** @var string CSS without an address. */
	public $css = '';

	/** @var array<int, array<string, string>> Scripts that were printed. */
	private $printed = array();

	/** @var string[] */
	private $styles_before = array();

	/** @var string[] */
	private $scripts_before = array();

	/** @var array<string, array<int, string[]>> Names of callbacks by hook and priority. */
	private $callbacks = array();

	/** Note what is there. */
	public function begin(): void {
		$this->styles_before  = wp_styles()->queue;
		$this->scripts_before = wp_scripts()->queue;
		foreach ( self::PRINTERS as $hook ) {
			$this->callbacks[ $hook ] = self::names( $hook );
		}
	}

	/** Note what has been added. */
	public function end(): void {
		ob_start();
		foreach ( self::PRINTERS as $hook ) {
			$this->run_new( $hook );
		}
		$this->print_modules();
		$this->take_apart( (string) ob_get_clean() );
		$this->css = (string) wp_style_engine_get_stylesheet_from_context( 'block-supports' ) . $this->css;
	}

	/**
	 * Return the styles in the order in which they are loaded.
	 *
	 * @param string $css without an address.
	 * @return array<int, array<string, string>> `handle`, `href`, `inline`.
	 */
	public function styles( string $css ): array {
		$list = array();
		$all  = wp_styles();
		foreach ( self::with_dependencies( $all, array_diff( $all->queue, $this->styles_before ) ) as $handle ) {
			$item   = $all->registered[ $handle ];
			$inline = implode( "\n", array_filter( (array) $all->get_data( $handle, 'after' ), 'is_string' ) );
			$href   = $item->src ? self::text( $all->_css_href( $item->src, self::version( $all, $item ), $handle ) ) : '';
			if ( '' !== $href || '' !== $inline ) {
				$list[] = array(
					'handle' => $handle,
					'href'   => $href,
					'inline' => $inline,
				);
			}
		}
		if ( '' !== $css ) {
			$list[] = array(
				'handle' => '',
				'href'   => '',
				'inline' => $css,
			);
		}
		return $list;
	}

	/**
	 * Return the scripts in the order in which they run.
	 *
	 * @return array<int, array<string, string>> `handle`, `src`, `before`, `after`, `type`.
	 */
	public function scripts(): array {
		$list = array();
		$all  = wp_scripts();
		foreach ( self::with_dependencies( $all, array_diff( $all->queue, $this->scripts_before ) ) as $handle ) {
			$item   = $all->registered[ $handle ];
			$before = array_merge(
				array( $all->get_data( $handle, 'data' ), $item->textdomain ? $all->print_translations( $handle, false ) : '' ),
				(array) $all->get_data( $handle, 'before' )
			);
			$list[] = array(
				'handle' => $handle,
				'src'    => self::src( $all, $item ),
				'before' => implode( "\n", array_filter( $before, array( self::class, 'is_text' ) ) ),
				'after'  => implode( "\n", array_filter( (array) $all->get_data( $handle, 'after' ), array( self::class, 'is_text' ) ) ),
				'type'   => '',
			);
		}
		return array_merge( $list, $this->printed );
	}

	/**
	 * Return handles with all that they depend on, in order.
	 *
	 * @param \WP_Dependencies $all     styles or scripts.
	 * @param string[]         $handles that were asked for.
	 * @return string[]
	 */
	private static function with_dependencies( \WP_Dependencies $all, array $handles ): array {
		$copy        = clone $all;
		$copy->to_do = array();
		$copy->done  = array();
		foreach ( $handles as $handle ) {
			$copy->all_deps( array( $handle ) );
		}
		return array_values( array_unique( $copy->to_do ) );
	}

	/**
	 * Return the address of a script; "" for one without a file.
	 *
	 * @param \WP_Scripts     $all  scripts.
	 * @param \_WP_Dependency $item the script.
	 */
	private static function src( \WP_Scripts $all, $item ): string {
		if ( ! $item->src ) {
			return '';
		}
		$src = (string) $item->src;
		if ( ! preg_match( '#\A(?:https?:)?//#', $src ) && ! ( $all->content_url && 0 === strpos( $src, $all->content_url ) ) ) {
			$src = $all->base_url . $src;
		}
		$version = self::version( $all, $item );
		$src     = '' === $version ? $src : add_query_arg( 'ver', $version, $src );
		return self::text( apply_filters( 'script_loader_src', $src, $item->handle ) ); // phpcs:ignore -- WordPress' own.
	}

	/**
	 * Return the version that stands in an address.
	 *
	 * @param \WP_Dependencies $all  styles or scripts.
	 * @param \_WP_Dependency  $item one of them.
	 */
	private static function version( \WP_Dependencies $all, $item ): string {
		return null === $item->ver ? '' : (string) ( $item->ver ? $item->ver : $all->default_version );
	}

	/** Print the script modules that blocks asked for; WordPress has them since 6.5. */
	private function print_modules(): void {
		if ( ! function_exists( 'wp_script_modules' ) ) {
			return;
		}
		$modules = wp_script_modules();
		$modules->print_import_map();
		if ( method_exists( $modules, 'print_script_module_data' ) ) {
			$modules->print_script_module_data();
		} elseif ( function_exists( 'wp_interactivity' ) ) {
			wp_interactivity()->print_client_interactivity_data();
		}
		$modules->print_enqueued_script_modules();
	}

	/**
	 * Run what was attached to a hook since `begin`.
	 *
	 * @param string $hook its name.
	 */
	private function run_new( string $hook ): void {
		global $wp_filter;
		foreach ( self::names( $hook ) as $priority => $names ) {
			foreach ( array_diff( $names, $this->callbacks[ $hook ][ $priority ] ?? array() ) as $name ) {
				$callback = $wp_filter[ $hook ]->callbacks[ $priority ][ $name ]['function'] ?? null;
				if ( is_callable( $callback ) ) {
					call_user_func( $callback );
				}
			}
		}
	}

	/**
	 * Return the names of what is attached to a hook.
	 *
	 * @param string $hook its name.
	 * @return array<int, string[]>
	 */
	private static function names( string $hook ): array {
		global $wp_filter;
		$callbacks = isset( $wp_filter[ $hook ] ) ? $wp_filter[ $hook ]->callbacks : array();
		return array_map(
			static function ( array $group ): array {
				return array_map( 'strval', array_keys( $group ) );
			},
			$callbacks
		);
	}

	/**
	 * Sort what was printed into CSS, scripts and the rest.
	 *
	 * @param string $printed HTML.
	 */
	private function take_apart( string $printed ): void {
		$printed    = (string) preg_replace_callback(
			'#<style\b[^>]*>(.*?)</style>#is',
			function ( array $found ): string {
				$this->css .= $found[1] . "\n";
				return '';
			},
			$printed
		);
		$printed    = (string) preg_replace_callback(
			'#<script\b([^>]*)>(.*?)</script>#is',
			function ( array $found ): string {
				if ( 0 === strncmp( self::attribute( $found[1], 'type' ), 'text/html', 9 ) ) {
					// A template, such as those of playlists: scripts look for it when they begin.
					return $found[0];
				}
				$this->printed[] = array(
					'handle' => self::attribute( $found[1], 'id' ),
					'src'    => self::attribute( $found[1], 'src' ),
					'before' => '',
					'after'  => trim( $found[2] ),
					'type'   => self::attribute( $found[1], 'type' ),
				);
				return '';
			},
			$printed
		);
		$this->html = trim( (string) preg_replace( '#<link\b[^>]*>#i', '', $printed ) );
	}

	/**
	 * Return an attribute of a tag; "" if it has none.
	 *
	 * @param string $tag  what stands in it.
	 * @param string $name of the attribute.
	 */
	private static function attribute( string $tag, string $name ): string {
		return preg_match( '/\b' . $name . '\s*=\s*(["\'])(.*?)\1/i', $tag, $found ) ? self::text( $found[2] ) : '';
	}

	/**
	 * Return an address as it is, not as HTML has it.
	 *
	 * @param mixed $value an address.
	 */
	private static function text( $value ): string {
		return html_entity_decode( (string) $value, ENT_QUOTES | ENT_HTML5, 'UTF-8' );
	}

	/**
	 * Say whether there is something to run.
	 *
	 * @param mixed $value a piece of script.
	 */
	private static function is_text( $value ): bool {
		return is_string( $value ) && '' !== trim( $value );
	}
}
