<?php
/**
 * One way in which a stranger can ask the site for something.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

/**
 * A request, and what its answer must not hold.
 */
final class Surface {

	/** @var string short name that stays the same between versions */
	public $id;

	/** @var string what people call it */
	public $label;

	/** @var string which advice is given when it leaks; a key of `Advice` */
	public $group;

	/** @var string address */
	public $url;

	/** @var array arguments for `wp_remote_request` */
	public $args;

	/** @var string[] words whose presence is a leak; empty for every canary */
	public $forbidden = array();

	/** @var string the same address with a word that is nowhere; '' if it names none of the forbidden */
	public $blank = '';

	/** @var bool whether a picture in the answer is a leak */
	public $sealed = false;

	/** @var string a word that shows that the test post was in the answer; '' if none is expected */
	public $control = '';

	/**
	 * Keep what describes the surface.
	 *
	 * @param string $id    short name.
	 * @param string $label what people call it.
	 * @param string $group which advice belongs to it.
	 * @param string $url   address.
	 * @param array  $args  arguments for `wp_remote_request`.
	 */
	public function __construct( string $id, string $label, string $group, string $url, array $args = array() ) {
		$this->id    = $id;
		$this->label = $label;
		$this->group = $group;
		$this->url   = $url;
		$this->args  = $args;
	}

	/** Name the word that shows that the test post was in the answer. */
	public function shows( string $word ): self {
		$this->control = $word;
		return $this;
	}

	/** Say that a picture in the answer is a leak: the address had the original. */
	public function seals(): self {
		$this->sealed = true;
		return $this;
	}

	/**
	 * Name the words whose presence is a leak here, in place of the canaries, unless they are shown
	 * also where something else is looked for: many themes list the latest posts below every search.
	 *
	 * @param Sample $s the post that must not be found.
	 */
	public function forbids( Sample $s ): self {
		$this->forbidden = array( $s->slug, $s->title );
		$this->blank     = str_replace( $s->secret, 'bcnothing' . bin2hex( random_bytes( 7 ) ), $this->url );
		return $this;
	}
}
