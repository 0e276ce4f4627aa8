<?php
/**
 * What a grant says.
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

/**
 * The claims of a grant whose signature was checked. Does not change.
 */
final class Claims {

	/** @var string The site, `st_…`. */
	public $site;

	/** @var string The item, `it_…`. */
	public $item;

	/** @var string Who has it: an invoice (`in_…`) or a balance (`ho_…`). */
	public $holder;

	/** @var int What was paid, in msat. */
	public $price_msat;

	/** @var int When it was given out, in Unix seconds. */
	public $issued_at;

	/** @var int|null When it ends, in Unix seconds; null for never. */
	public $expires_at;

	/** @var int Revision of the item. */
	public $revision;

	/**
	 * Keep claims.
	 *
	 * @param array<string, mixed> $claims    as the payload has them.
	 * @param int                  $issued_at Unix seconds.
	 */
	public function __construct( array $claims, int $issued_at ) {
		$this->site       = $claims['s'];
		$this->item       = $claims['i'];
		$this->holder     = $claims['h'];
		$this->price_msat = $claims['p'];
		$this->issued_at  = $issued_at;
		$this->expires_at = $claims['e'];
		$this->revision   = $claims['r'];
	}

	/** Say whether it was bought from a balance: such a purchase may be undone. */
	public function is_from_balance(): bool {
		return 0 === strncmp( $this->holder, 'ho_', 3 );
	}
}
