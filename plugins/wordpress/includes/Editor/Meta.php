<?php
/**
 * What is stored with a post about its price.
 *
 * @package Bitcache
 */

namespace Bitcache\Editor;

use Bitcache\Settings;

/**
 * Registers the meta of posts and shows it to those who may edit them, and to nobody else.
 */
final class Meta {

	/** An amount such as 0.05; empty for the default. */
	const AMOUNT = '^$|^[0-9]{1,9}(\.[0-9]{1,8})?$';

	/** An ISO 4217 code, or SAT; empty for the default. */
	const CURRENCY = '^$|^[A-Z]{3}$';

	/** Attach every hook. */
	public function register(): void {
		add_action( 'init', array( $this, 'add' ), 20 );
		add_action( 'rest_api_init', array( $this, 'add_standing' ) );
	}

	/** Return the post types that can be sold. Attachments have fields of their own. */
	public static function types(): array {
		$types = get_post_types( array( 'public' => true ) );
		unset( $types['attachment'] );
		return array_values( $types );
	}

	/** Register the meta for each type. */
	public function add(): void {
		foreach ( self::types() as $type ) {
			foreach ( self::fields() as $name => $field ) {
				register_post_meta( $type, $name, $field + self::common() );
			}
		}
	}

	/** Show the state of the sale beside a post that somebody edits. */
	public function add_standing(): void {
		register_rest_field(
			self::types(),
			'bitcache',
			array(
				'get_callback' => static function ( array $post ): ?array {
					return current_user_can( 'edit_post', $post['id'] ) ? Standing::of( $post['id'] ) : null;
				},
				'schema'       => array(
					'type'     => array( 'object', 'null' ),
					'context'  => array( 'edit' ),
					'readonly' => true,
				),
			)
		);
	}

	/** What all of them share. */
	private static function common(): array {
		return array(
			'single'        => true,
			'auth_callback' => static function ( bool $allowed, string $key, int $post_id ): bool {
				return current_user_can( 'edit_post', $post_id );
			},
		);
	}

	/** The meta by name. */
	private static function fields(): array {
		return array(
			'_bitcache_price'    => self::text( self::AMOUNT ),
			'_bitcache_currency' => self::text( self::CURRENCY ),
			'_bitcache_free'     => array(
				'type'         => 'boolean',
				'default'      => false,
				'show_in_rest' => array( 'schema' => array( 'context' => array( 'edit' ) ) ),
			),
			'_bitcache_rules'    => array(
				'type'              => 'object',
				'default'           => array(),
				'sanitize_callback' => array( self::class, 'rules' ),
				'show_in_rest'      => array(
					'schema' => array(
						'type'                 => 'object',
						'context'              => array( 'edit' ),
						'properties'           => self::rule_schema(),
						'additionalProperties' => false,
					),
				),
			),
		);
	}

	/**
	 * Return the rules that differ from the site's; those that are not named stay the site's.
	 *
	 * @param mixed $raw what was sent.
	 * @return array<string, mixed>
	 */
	public static function rules( $raw ): array {
		$raw = is_array( $raw ) ? $raw : array();
		return array_intersect_key( Settings::rules( $raw ), $raw );
	}

	/** A text that must have a form, or the editor is told so and nothing is lost. */
	private static function text( string $pattern ): array {
		return array(
			'type'         => 'string',
			'default'      => '',
			'show_in_rest' => array(
				'schema' => array(
					'type'    => 'string',
					'pattern' => $pattern,
					'context' => array( 'edit' ),
				),
			),
		);
	}

	/** The rules, each of which may be absent. */
	private static function rule_schema(): array {
		$number = array(
			'type'    => 'integer',
			'minimum' => 0,
		);
		return array(
			'free_paragraphs' => $number,
			'free_readers'    => $number,
			'free_after_days' => $number,
			'free_roles'      => array(
				'type'  => 'array',
				'items' => array( 'type' => 'string' ),
			),
		);
	}
}
