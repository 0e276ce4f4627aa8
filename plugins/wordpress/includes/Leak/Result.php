<?php
/**
 * What the test found out about one surface.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

/**
 * Sealed, leaking, absent or unknown.
 */
final class Result {

	/** The answer came and holds nothing that costs. */
	public const GREEN = 'green';

	/** The answer holds what costs. */
	public const RED = 'red';

	/** The site has no such surface, or it showed nothing of the planted post. */
	public const ABSENT = 'absent';

	/** No answer came; nothing can be said. */
	public const UNKNOWN = 'unknown';

	/** @var Surface */
	public $surface;

	/** @var string one of the constants */
	public $state;

	/** @var int status of the answer; 0 if there was none */
	public $status;

	/** @var string what was found, for people */
	public $note;

	/**
	 * Keep the finding.
	 *
	 * @param Surface $surface where.
	 * @param string  $state   one of the constants.
	 * @param int     $status  status of the answer.
	 * @param string  $note    for people.
	 */
	public function __construct( Surface $surface, string $state, int $status, string $note ) {
		$this->surface = $surface;
		$this->state   = $state;
		$this->status  = $status;
		$this->note    = $note;
	}

	/** Return the finding as a row for a table or for JSON. */
	public function row(): array {
		return array(
			'id'     => $this->surface->id,
			'label'  => $this->surface->label,
			'state'  => $this->state,
			'status' => $this->status,
			'url'    => $this->surface->url,
			'note'   => $this->note,
		);
	}
}
