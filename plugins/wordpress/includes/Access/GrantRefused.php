<?php
/**
 * A grant does not open anything.
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

/**
 * `code_name` is `grant_invalid`, `grant_expired` or `grant_revoked`.
 */
final class GrantRefused extends \Exception {

	/** @var string */
	public $code_name;

	/**
	 * Say why.
	 *
	 * @param string $code_name a code of the API.
	 */
	public function __construct( string $code_name ) {
		parent::__construct( $code_name );
		$this->code_name = $code_name;
	}
}
