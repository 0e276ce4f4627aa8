<?php
/**
 * The box beside the classic editor.
 *
 * @package Bitcache
 */

namespace Bitcache\Editor;

use Bitcache\Settings;

/**
 * The same fields as the panel of the block editor, and how to write the shortcodes.
 */
final class MetaBox {

	const NONCE = 'bitcache_box';

	/** Attach every hook. */
	public function register(): void {
		add_action( 'add_meta_boxes', array( $this, 'add' ) );
		add_action( 'save_post', array( $this, 'save' ), 5 );
	}

	/**
	 * Add the box. The block editor has a panel, unless the type keeps no meta there.
	 *
	 * @param string $type the post's type.
	 */
	public function add( string $type ): void {
		if ( ! in_array( $type, Meta::types(), true ) ) {
			return;
		}
		add_meta_box(
			'bitcache',
			'Bitcache',
			array( $this, 'show' ),
			$type,
			'side',
			'default',
			array( '__back_compat_meta_box' => post_type_supports( $type, 'custom-fields' ) )
		);
	}

	/**
	 * Print the box.
	 *
	 * @param \WP_Post $post whose.
	 */
	public function show( \WP_Post $post ): void {
		wp_nonce_field( self::NONCE, 'bitcache_box_nonce', false );
		// The field itself has its label for those who hear the page.
		echo '<p><span aria-hidden="true">' . esc_html__( 'Price', 'bitcache' ) . '<br></span>';
		Fields::price(
			'bitcache_box',
			(string) get_post_meta( $post->ID, '_bitcache_price', true ),
			(string) get_post_meta( $post->ID, '_bitcache_currency', true )
		);
		echo '</p>';
		printf(
			'<p><label><input type="checkbox" name="bitcache_box[free]" value="1"%s> %s</label></p>',
			checked( (bool) get_post_meta( $post->ID, '_bitcache_free', true ), true, false ),
			esc_html__( 'Free for everybody', 'bitcache' )
		);
		$this->show_rules( $post );
		echo '<p class="description">' . wp_kses(
			__( '<code>[bitcache_paywall]</code> on a line of its own: everything below is paid. <code>[bitcache]…[/bitcache]</code> around a part: that part is paid.', 'bitcache' ),
			array( 'code' => array() )
		) . '</p><p class="description">' . wp_kses(
			__( '<code>[bitcache part="map" price="0.05"]…[/bitcache]</code>: that part has a price of its own, and a name that stays.', 'bitcache' ),
			array( 'code' => array() )
		) . '</p>';
	}

	/**
	 * Keep what was typed.
	 *
	 * @param int $post_id whose.
	 */
	public function save( int $post_id ): void {
		$nonce = isset( $_POST['bitcache_box_nonce'] ) ? sanitize_key( wp_unslash( $_POST['bitcache_box_nonce'] ) ) : '';
		if ( ! wp_verify_nonce( $nonce, self::NONCE ) || ! current_user_can( 'edit_post', $post_id ) || wp_is_post_revision( $post_id ) ) {
			return;
		}
		// phpcs:ignore WordPress.Security.ValidatedSanitizedInput.InputNotSanitized -- each part is checked below.
		$raw   = isset( $_POST['bitcache_box'] ) ? wp_unslash( $_POST['bitcache_box'] ) : null;
		$price = Fields::read( $raw );
		if ( null !== $price ) {
			Fields::store( $post_id, $price );
			update_post_meta( $post_id, '_bitcache_free', ! empty( $raw['free'] ) );
			update_post_meta( $post_id, '_bitcache_rules', self::rules( $post_id, $raw ) );
		}
	}

	/**
	 * Print the rules; an empty field is the site's.
	 *
	 * @param \WP_Post $post whose.
	 */
	private function show_rules( \WP_Post $post ): void {
		$stored = get_post_meta( $post->ID, '_bitcache_rules', true );
		$stored = is_array( $stored ) ? $stored : array();
		$site   = Settings::get()['rules'];
		$labels = array(
			'free_paragraphs' => __( 'Free paragraphs', 'bitcache' ),
			'free_readers'    => __( 'Free for the first readers', 'bitcache' ),
			'free_after_days' => __( 'Free after so many days', 'bitcache' ),
		);
		foreach ( $labels as $name => $label ) {
			printf(
				'<p><label>%1$s<br><input type="number" min="0" class="small-text" name="bitcache_box[%2$s]" value="%3$s" placeholder="%4$d"></label></p>',
				esc_html( $label ),
				esc_attr( $name ),
				esc_attr( (string) ( $stored[ $name ] ?? '' ) ),
				(int) $site[ $name ]
			);
		}
	}

	/**
	 * Return the rules that were typed; the roles are those of before, which this box does not show.
	 *
	 * @param int                  $post_id whose.
	 * @param array<string, mixed> $raw     the form.
	 * @return array<string, mixed>
	 */
	private static function rules( int $post_id, array $raw ): array {
		$stored = get_post_meta( $post_id, '_bitcache_rules', true );
		$roles  = is_array( $stored ) ? array_intersect_key( $stored, array( 'free_roles' => true ) ) : array();
		$typed  = array_filter(
			array_intersect_key( $raw, array_flip( array( 'free_paragraphs', 'free_readers', 'free_after_days' ) ) ),
			static function ( $value ): bool {
				return is_string( $value ) && '' !== trim( $value );
			}
		);
		return Meta::rules( $typed + $roles );
	}
}
