<?php
/**
 * One message for the next page that an administrator opens.
 *
 * @package Bitcache
 */

namespace Bitcache\Admin;

/**
 * Kept with the user, for a few minutes, shown once. Never holds a secret.
 */
final class Flash {

	const NAME   = 'bitcache_flash_';
	const KEPT_S = 300;

	/**
	 * Keep a message.
	 *
	 * @param string                $kind   `success` or `error`.
	 * @param string                $words  as text.
	 * @param array<string, string> $fields of the form that goes back to who filled it in.
	 */
	public static function keep( string $kind, string $words, array $fields = array() ): void {
		set_transient( self::name(), compact( 'kind', 'words', 'fields' ), self::KEPT_S );
	}

	/**
	 * Return the message and forget it.
	 *
	 * @return array{kind: string, words: string, fields: array<string, string>}|null
	 */
	public static function take(): ?array {
		$found = get_transient( self::name() );
		delete_transient( self::name() );
		return is_array( $found ) ? $found : null;
	}

	/** Return the name of what is kept for this user. */
	private static function name(): string {
		return self::NAME . get_current_user_id();
	}
}
