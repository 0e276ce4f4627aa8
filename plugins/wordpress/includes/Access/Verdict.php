<?php
/**
 * The answer to "may this visitor read this part of this post?".
 *
 * @package Bitcache
 */

namespace Bitcache\Access;

/**
 * Yes or no, with the reason. Does not change.
 */
final class Verdict {

	/** Reasons for yes. */
	const BOUGHT      = 'bought';
	const FREE_ROLE   = 'free_role';
	const FREE_READER = 'free_reader';
	const FREE_DATE   = 'free_date';
	const EDITOR      = 'editor';

	/** Reasons for no. */
	const LOCKED     = 'locked';
	const NOT_PUBLIC = 'not_public';

	/** @var bool */
	public $allowed;

	/** @var string One of the reasons above. */
	public $reason;

	/** @var string Why a grant that was shown did not help: a code of the API, or "". */
	public $grant_code;

	/**
	 * Keep the answer.
	 *
	 * @param bool   $allowed    yes or no.
	 * @param string $reason     one of the reasons.
	 * @param string $grant_code why the grant did not help.
	 */
	public function __construct( bool $allowed, string $reason, string $grant_code = '' ) {
		$this->allowed    = $allowed;
		$this->reason     = $reason;
		$this->grant_code = $grant_code;
	}
}
