<?php
/**
 * What the block editor loads.
 *
 * @package Bitcache
 */

namespace Bitcache\Editor;

use Bitcache\Server\Connection;
use Bitcache\Settings;
use Bitcache\Words;

/**
 * Registers the scripts of the blocks and the panel, with what they must know of the site.
 */
final class Scripts {

	/** The blocks; their `block.json` names it. */
	const HANDLE = 'bitcache-editor';

	const PRICE = 'bitcache-price';

	const PANEL = 'bitcache-panel';

	const NEEDS = array( 'wp-block-editor', 'wp-blocks', 'wp-components', 'wp-data', 'wp-element', 'wp-i18n' );

	/** Where a post is edited; the editors of widgets and of templates have none beside which a panel could stand. */
	const PANEL_NEEDS = array( self::PRICE, 'wp-edit-post', 'wp-editor', 'wp-plugins' );

	/** Attach every hook. */
	public function register(): void {
		add_action( 'init', array( $this, 'add' ), 5 );
		add_action( 'enqueue_block_editor_assets', array( $this, 'tell' ) );
	}

	/** Make scripts and style known. */
	public function add(): void {
		self::script( self::PRICE, 'price', self::NEEDS );
		self::script( self::HANDLE, 'editor', array( self::PRICE ) );
		self::script( self::PANEL, 'panel', self::PANEL_NEEDS );
		wp_register_style( self::HANDLE, plugins_url( 'assets/editor.css', BITCACHE_FILE ), array(), BITCACHE_VERSION );
	}

	/** Tell the scripts about the site, where there is an editor. */
	public function tell(): void {
		$data = $this->data();
		$json = wp_json_encode( $data, JSON_HEX_TAG | JSON_HEX_AMP | JSON_UNESCAPED_SLASHES );
		wp_add_inline_script( self::PRICE, 'window.bitcacheEditor = ' . $json . ';', 'before' );
		wp_add_inline_script( self::PRICE, Words::for_script(), 'before' );
		wp_enqueue_script( self::HANDLE );
		wp_enqueue_style( self::HANDLE );
		if ( $data['panel'] ) {
			wp_enqueue_script( self::PANEL );
		}
	}

	/**
	 * Make one script known.
	 *
	 * @param string   $handle what WordPress calls it.
	 * @param string   $name   of the file.
	 * @param string[] $needs  handles that come before it.
	 */
	private static function script( string $handle, string $name, array $needs ): void {
		wp_register_script( $handle, plugins_url( 'assets/' . $name . '.js', BITCACHE_FILE ), $needs, BITCACHE_VERSION, true );
	}

	/** What the scripts must know. No secret is among it. */
	private function data(): array {
		global $pagenow, $post;
		$settings = Settings::get();
		$type     = $post instanceof \WP_Post ? $post->post_type : '';
		$price    = $post instanceof \WP_Post ? Standing::default_price( $post ) : '';
		return array(
			'panel'        => in_array( $pagenow, array( 'post.php', 'post-new.php' ), true )
				&& in_array( $type, Meta::types(), true ) && post_type_supports( $type, 'custom-fields' ),
			'connected'    => Connection::is_connected(),
			'settings_url' => current_user_can( 'manage_options' ) ? admin_url( 'admin.php?page=bitcache' ) : '',
			'currencies'   => Fields::currencies(),
			'currency'     => $settings['default_currency'],
			'amount'       => $settings['default_price'],
			'default'      => $price,
			'rules'        => $settings['rules'],
			'roles'        => array_map( 'translate_user_role', wp_roles()->get_names() ),
		);
	}
}
