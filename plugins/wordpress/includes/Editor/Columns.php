<?php
/**
 * Price and sales in the lists of posts.
 *
 * @package Bitcache
 */

namespace Bitcache\Editor;

/**
 * One column; the price can be changed in quick edit, for one post, and in bulk edit, for many.
 */
final class Columns {

	const NAME = 'bitcache';

	const NONCE = 'bitcache_list';

	/** Attach every hook. */
	public function register(): void {
		add_action( 'admin_init', array( $this, 'attach' ) );
		add_action( 'quick_edit_custom_box', array( $this, 'quick_fields' ), 10, 2 );
		add_action( 'bulk_edit_custom_box', array( $this, 'bulk_fields' ), 10, 2 );
		add_action( 'save_post', array( $this, 'save' ), 5 );
		add_action( 'admin_enqueue_scripts', array( $this, 'script' ) );
	}

	/** Add the column to the list of each type. */
	public function attach(): void {
		foreach ( Meta::types() as $type ) {
			add_filter( "manage_{$type}_posts_columns", array( $this, 'head' ) );
			add_action( "manage_{$type}_posts_custom_column", array( $this, 'cell' ), 10, 2 );
		}
	}

	/**
	 * Name the column.
	 *
	 * @param array<string, string> $columns the others.
	 * @return array<string, string>
	 */
	public function head( array $columns ): array {
		return $columns + array( self::NAME => __( 'Price and sales', 'bitcache' ) );
	}

	/**
	 * Print what a post costs and how often it was bought.
	 *
	 * @param string $column  which.
	 * @param int    $post_id whose.
	 */
	public function cell( string $column, int $post_id ): void {
		if ( self::NAME !== $column ) {
			return;
		}
		$state = Standing::of( $post_id );
		if ( '' !== $state['price'] || ! $state['withheld'] ) {
			echo '' === $state['price'] ? '<span aria-hidden="true">—</span><span class="screen-reader-text">' . esc_html__( 'Free', 'bitcache' ) . '</span>' : esc_html( $state['price'] ), '<br>';
		}
		if ( $state['sales'] > 0 ) {
			/* translators: %d: how many readers have bought this post. */
			echo esc_html( sprintf( _n( '%d sale', '%d sales', $state['sales'], 'bitcache' ), $state['sales'] ) ) . '<br>';
		}
		if ( $state['withheld'] && '' === $state['error'] ) {
			$state['error'] = __( 'The paid part has no price yet: nobody can read or buy it.', 'bitcache' );
		}
		if ( '' !== $state['error'] ) {
			echo '<span class="dashicons dashicons-warning" aria-hidden="true"></span> ' . esc_html( $state['error'] );
		}
		printf(
			'<span hidden class="bitcache-own" data-amount="%s" data-currency="%s" data-free="%d"></span>',
			esc_attr( (string) get_post_meta( $post_id, '_bitcache_price', true ) ),
			esc_attr( (string) get_post_meta( $post_id, '_bitcache_currency', true ) ),
			get_post_meta( $post_id, '_bitcache_free', true ) ? 1 : 0
		);
	}

	/**
	 * Print the fields for one post; the script fills them.
	 *
	 * @param string $column which.
	 */
	public function quick_fields( string $column ): void {
		if ( self::NAME !== $column ) {
			return;
		}
		echo '<fieldset class="inline-edit-col-right"><div class="inline-edit-col"><div class="inline-edit-group"><span class="title">' . esc_html__( 'Price', 'bitcache' ) . '</span> ';
		wp_nonce_field( self::NONCE, 'bitcache_quick_nonce', false );
		Fields::price( 'bitcache_quick', '', '' );
		echo ' <label><input type="checkbox" name="bitcache_quick[free]" value="1"> ' . esc_html__( 'Free for everybody', 'bitcache' ) . '</label></div></div></fieldset>';
	}

	/**
	 * Print the fields for many posts.
	 *
	 * @param string $column which.
	 */
	public function bulk_fields( string $column ): void {
		if ( self::NAME !== $column ) {
			return;
		}
		$choices = array(
			''        => __( '— No Change —', 'bitcache' ),
			'price'   => __( 'Sell for', 'bitcache' ),
			'default' => __( 'Use the default price', 'bitcache' ),
			'free'    => __( 'Free for everybody', 'bitcache' ),
		);
		echo '<fieldset class="inline-edit-col-right"><div class="inline-edit-col"><div class="inline-edit-group"><label><span class="title">' . esc_html__( 'Price', 'bitcache' ) . '</span> <select name="bitcache_bulk[what]">';
		foreach ( $choices as $value => $label ) {
			printf( '<option value="%s">%s</option>', esc_attr( $value ), esc_html( $label ) );
		}
		echo '</select></label> ';
		Fields::price( 'bitcache_bulk', '', '' );
		echo '</div></div></fieldset>';
	}

	/**
	 * Keep what quick edit or bulk edit sent. WordPress has checked its own nonce for the list, too.
	 *
	 * @param int $post_id whose.
	 */
	public function save( int $post_id ): void {
		if ( wp_is_post_revision( $post_id ) || ! current_user_can( 'edit_post', $post_id ) ) {
			return;
		}
		$nonce = isset( $_REQUEST['bitcache_quick_nonce'] ) ? sanitize_key( wp_unslash( $_REQUEST['bitcache_quick_nonce'] ) ) : '';
		if ( wp_verify_nonce( $nonce, self::NONCE ) && isset( $_POST['bitcache_quick'] ) ) {
			// phpcs:ignore WordPress.Security.ValidatedSanitizedInput.InputNotSanitized -- Fields::read checks each part.
			$this->keep( $post_id, wp_unslash( $_POST['bitcache_quick'] ) );
		}
		$nonce = isset( $_REQUEST['_wpnonce'] ) ? sanitize_key( wp_unslash( $_REQUEST['_wpnonce'] ) ) : '';
		if ( isset( $_REQUEST['bulk_edit'], $_REQUEST['bitcache_bulk'] ) && wp_verify_nonce( $nonce, 'bulk-posts' ) ) {
			// phpcs:ignore WordPress.Security.ValidatedSanitizedInput.InputNotSanitized -- Fields::read checks each part.
			$this->keep_bulk( $post_id, wp_unslash( $_REQUEST['bitcache_bulk'] ) );
		}
	}

	/** The script that fills quick edit, in the lists alone. */
	public function script( string $hook ): void {
		if ( 'edit.php' === $hook ) {
			wp_enqueue_script( 'bitcache-list', plugins_url( 'assets/list.js', BITCACHE_FILE ), array( 'inline-edit-post' ), BITCACHE_VERSION, true );
		}
	}

	/**
	 * Store one post's price.
	 *
	 * @param int   $post_id whose.
	 * @param mixed $raw     the form.
	 */
	private function keep( int $post_id, $raw ): void {
		$price = Fields::read( $raw );
		if ( null !== $price ) {
			Fields::store( $post_id, $price );
			update_post_meta( $post_id, '_bitcache_free', ! empty( $raw['free'] ) );
		}
	}

	/**
	 * Store the price of one of many posts.
	 *
	 * @param int   $post_id whose.
	 * @param mixed $raw     the form.
	 */
	private function keep_bulk( int $post_id, $raw ): void {
		$what = is_array( $raw ) && isset( $raw['what'] ) && is_string( $raw['what'] ) ? $raw['what'] : '';
		if ( 'free' === $what ) {
			update_post_meta( $post_id, '_bitcache_free', true );
		} elseif ( 'default' === $what ) {
			Fields::store( $post_id, array( '', '' ) );
			update_post_meta( $post_id, '_bitcache_free', false );
		} elseif ( 'price' === $what ) {
			$price = Fields::read( $raw );
			if ( null !== $price && '' !== $price[0] ) {
				Fields::store( $post_id, $price );
				update_post_meta( $post_id, '_bitcache_free', false );
			}
		}
	}
}
