<?php
/**
 * Fields of a file in the media library.
 *
 * @package Bitcache
 */

namespace Bitcache\Files;

use Bitcache\Content\Price;
use Bitcache\Settings;

/**
 * Price, "sold with its post" and preview, on the screen of an attachment and in the media
 * window. WordPress checks the nonce and `edit_post` before it saves either.
 */
final class Fields {

	/** Attach every hook. */
	public function register(): void {
		add_filter( 'attachment_fields_to_edit', array( $this, 'show' ), 10, 2 );
		add_filter( 'attachment_fields_to_save', array( $this, 'save' ), 10, 2 );
		add_action( 'admin_notices', array( $this, 'failures' ) );
		add_filter( 'media_row_actions', array( $this, 'row' ), 10, 2 );
	}

	/**
	 * @param array<string, mixed> $fields of the form.
	 * @param \WP_Post             $post   the attachment.
	 * @return array<string, mixed>
	 */
	public function show( $fields, $post ): array {
		if ( ! current_user_can( 'edit_post', $post->ID ) || null === Paths::main( $post->ID ) ) {
			return (array) $fields;
		}
		$price                      = (string) get_post_meta( $post->ID, '_bitcache_price', true );
		$currency                   = (string) get_post_meta( $post->ID, '_bitcache_currency', true );
		$currency                   = '' === $currency ? Settings::get()['default_currency'] : $currency;
		$name                       = 'attachments[' . $post->ID . ']';
		$fields['bitcache_price']   = array(
			'label' => __( 'Price', 'bitcache' ),
			'input' => 'html',
			'html'  => '<input type="text" inputmode="decimal" size="8" name="' . esc_attr( $name ) . '[bitcache_price]" id="' . esc_attr( $name ) . '[bitcache_price]" value="' . esc_attr( $price ) . '" /> <input type="text" size="4" maxlength="3" aria-label="' . esc_attr__( 'Currency', 'bitcache' ) . '" name="' . esc_attr( $name ) . '[bitcache_currency]" value="' . esc_attr( $currency ) . '" />',
			'helps' => __( 'Sells this file alone. Empty: not sold alone.', 'bitcache' ),
		);
		$fields['bitcache_with']    = array(
			'label' => __( 'With a post', 'bitcache' ),
			'input' => 'html',
			'html'  => self::select(
				$name . '[bitcache_with]',
				(string) get_post_meta( $post->ID, Priced::WITH, true ),
				array(
					''  => __( 'Private where it stands in a paid part', 'bitcache' ),
					'1' => __( 'Sold with the post it was uploaded to', 'bitcache' ),
					'0' => __( 'Never, everybody may have it', 'bitcache' ),
				)
			),
		);
		$fields['bitcache_preview'] = array(
			'label' => __( 'Preview', 'bitcache' ),
			'input' => 'html',
			'html'  => self::select(
				$name . '[bitcache_preview]',
				(string) get_post_meta( $post->ID, Preview::CHOICE, true ),
				array(
					''     => __( 'Blurred', 'bitcache' ),
					'crop' => __( 'The middle of the picture', 'bitcache' ),
					'icon' => __( 'Nothing of it', 'bitcache' ),
				)
			),
			'helps' => self::state( $post->ID ),
		);
		return $fields;
	}

	/**
	 * @param array<string, mixed> $post   as it is saved.
	 * @param array<string, mixed> $fields that were sent.
	 * @return array<string, mixed>
	 */
	public function save( $post, $fields ): array {
		$id = (int) ( $post['ID'] ?? 0 );
		if ( ! current_user_can( 'edit_post', $id ) || ! isset( $fields['bitcache_price'] ) ) {
			return $post;
		}
		$amount   = Settings::amount( $fields['bitcache_price'] );
		$currency = strtoupper( sanitize_text_field( (string) ( $fields['bitcache_currency'] ?? '' ) ) );
		$price    = Price::parse( $amount, $currency );
		if ( '' !== trim( (string) $fields['bitcache_price'] ) && null === $price ) {
			$post['errors']['bitcache_price']['errors'][] = __( 'This is no price. Nothing about it was changed.', 'bitcache' );
		} else {
			// The currency first: a price counts as soon as it is stored.
			self::keep( $id, '_bitcache_currency', null === $price ? '' : $price->currency );
			self::keep( $id, '_bitcache_price', null === $price ? '' : $price->amount );
		}
		self::keep( $id, Priced::WITH, self::one_of( $fields['bitcache_with'] ?? '', array( '', '0', '1' ) ) );
		self::keep( $id, Preview::CHOICE, self::one_of( $fields['bitcache_preview'] ?? '', array( '', 'crop', 'icon' ) ) );
		$failed = (string) get_post_meta( $id, Vault::ERROR, true );
		if ( '' !== $failed ) {
			$post['errors']['bitcache_price']['errors'][] = $failed;
		}
		return $post;
	}

	/** Say which files are still public although they cost. */
	public function failures(): void {
		global $wpdb;
		if ( ! Vault::is_used() && ! Folder::exists() || ! current_user_can( 'upload_files' ) ) {
			return;
		}
		// phpcs:ignore WordPress.DB
		$rows = $wpdb->get_results( $wpdb->prepare( "SELECT post_id, meta_value FROM {$wpdb->postmeta} WHERE meta_key = %s LIMIT 5", Vault::ERROR ) );
		foreach ( $rows as $row ) {
			if ( current_user_can( 'edit_post', (int) $row->post_id ) ) {
				echo '<div class="notice notice-error"><p>';
				/* translators: 1: title of a file, 2: what went wrong. */
				echo esc_html( sprintf( __( 'Bitcache: “%1$s” costs, but some of its files may still be public. %2$s It is tried again every hour; “wp bitcache files repair” tries now.', 'bitcache' ), get_the_title( (int) $row->post_id ), $row->meta_value ) );
				echo '</p></div>';
			}
		}
	}

	/**
	 * @param array<string, string> $actions of a row in the list of files.
	 * @param \WP_Post              $post    the attachment.
	 * @return array<string, string>
	 */
	public function row( $actions, $post ): array {
		$price = Priced::price( $post->ID );
		if ( null !== $price ) {
			$actions['bitcache'] = '<span>' . esc_html( $price->label() ) . '</span>';
		} elseif ( Vault::has( $post->ID ) ) {
			$actions['bitcache'] = '<span>' . esc_html__( 'Sold with its post', 'bitcache' ) . '</span>';
		}
		return (array) $actions;
	}

	/** Return what is so now, in words. */
	private static function state( int $id ): string {
		$failed = (string) get_post_meta( $id, Vault::ERROR, true );
		if ( '' !== $failed ) {
			return esc_html( $failed );
		}
		return Vault::has( $id ) ? esc_html__( 'This file is private. Its old address answers 404.', 'bitcache' ) : esc_html__( 'This file is public.', 'bitcache' );
	}

	/** Store a text, or nothing for "". */
	private static function keep( int $id, string $key, string $value ): void {
		if ( '' === $value ) {
			delete_post_meta( $id, $key );
		} else {
			update_post_meta( $id, $key, $value );
		}
	}

	/**
	 * @param mixed    $value that was sent.
	 * @param string[] $known values; the first is the default.
	 */
	private static function one_of( $value, array $known ): string {
		return is_string( $value ) && in_array( $value, $known, true ) ? $value : $known[0];
	}

	/** @param array<int|string, string> $choices words by value. */
	private static function select( string $name, string $chosen, array $choices ): string {
		$html = '<select name="' . esc_attr( $name ) . '" id="' . esc_attr( $name ) . '">';
		foreach ( $choices as $value => $words ) {
			$html .= '<option value="' . esc_attr( (string) $value ) . '"' . selected( $chosen, (string) $value, false ) . '>' . esc_html( $words ) . '</option>';
		}
		return $html . '</select>';
	}
}
