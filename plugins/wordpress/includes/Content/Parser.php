<?php
/**
 * Cuts stored content at our markers.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

/**
 * Goes through blocks and text in the order in which they are read and sends each piece either
 * to the teaser or to a stretch of a part. Both sides are well-formed afterwards.
 *
 * A divider, or a shortcode that is not closed, withholds all that follows. A shortcode can be
 * closed only where nothing that was withheld would be left half open; otherwise it counts as
 * not closed.
 */
final class Parser {

	/** @var array<int, array{key: string, n: int, kind: string, path: int[]}> What is open; the first is the teaser. */
	private $frames = array(
		array(
			'key'  => '',
			'n'    => 0,
			'kind' => 'teaser',
			'path' => array(),
		),
	);

	/** @var array<string, array<int, string>> By key and number; the teaser has the key "". */
	private $out = array( '' => array( '' ) );

	/** @var int[] The containers that we are in. */
	private $path = array();

	/** @var int Containers so far. */
	private $containers = 0;

	/** @var bool Whether all is withheld as soon as the wraps around are over. */
	private $pending = false;

	/** @var bool Whether the markers are only taken out. */
	private $open;

	/** @var NamedPrices */
	private $named;

	/**
	 * Cut.
	 *
	 * @param string   $raw             content as it is stored.
	 * @param int|null $free_paragraphs where nothing is marked, cut after so many; null for no cut.
	 * @param bool     $open            true: withhold nothing, only take the markers out.
	 */
	public function __construct( string $raw, ?int $free_paragraphs = null, bool $open = false ) {
		$this->open  = $open;
		$this->named = new NamedPrices();
		// Nobody writes a placeholder by hand.
		$raw    = (string) preg_replace( Document::PLACEHOLDER, '', $raw );
		$marked = Glance::is_marked( $raw );
		$blocks = parse_blocks( $raw );
		if ( $marked || null !== $free_paragraphs ) {
			$blocks = ( new Refs() )->resolve( $blocks, ! $marked );
			$marked = $marked && $this->named->look( $blocks );
		}
		if ( ! $marked && null !== $free_paragraphs ) {
			$blocks = ( new Cut( $free_paragraphs ) )->insert( $blocks );
		}
		foreach ( $blocks as $block ) {
			$this->block( $block );
		}
	}

	/**
	 * Return content without our markers, with everything in it.
	 *
	 * @param string $raw content as it is stored.
	 */
	public static function opened( string $raw ): string {
		return Glance::is_marked( $raw ) ? ( new self( $raw, null, true ) )->teaser() : $raw;
	}

	/**
	 * Say whether some content has our markers itself. Cheap; escaped ones count.
	 *
	 * @param string $raw content as it is stored.
	 */
	public static function has_markers( string $raw ): bool {
		return Tokens::in( $raw );
	}

	/**
	 * Say whether some content shows other content that has our markers.
	 *
	 * @param string $raw content as it is stored.
	 */
	public static function names_markers( string $raw ): bool {
		return Defaults::names_marked_block( $raw ) || Refs::has_marked_pattern( $raw );
	}

	/** Return what everybody reads, with placeholders. */
	public function teaser(): string {
		$empty = array_keys( $this->empty_parts() );
		return (string) preg_replace_callback(
			Document::PLACEHOLDER,
			static function ( array $found ) use ( $empty ): string {
				return in_array( $found[1], $empty, true ) ? '' : $found[0];
			},
			$this->out[''][0]
		);
	}

	/**
	 * Return what costs, by key and number (from 1). Parts without content are left out.
	 *
	 * @return array<string, array<int, string>>
	 */
	public function stretches(): array {
		$all = array_diff_key( $this->out, $this->empty_parts(), array( '' => true ) );
		foreach ( $all as $key => $stretches ) {
			// Paid parts are shown whole: page breaks and "read more" have no meaning in them.
			$all[ $key ] = (array) preg_replace( '/<!-- \/?wp:(?:nextpage|more)\b.*?-->|<!--(?:nextpage|more\b.*?|noteaser)-->/s', '', $stretches );
		}
		return $all;
	}

	/**
	 * Return the price that a part names itself, or null.
	 *
	 * @param string     $key  of the part.
	 * @param Price|null $post the post's own, whose currency holds where none is named.
	 */
	public function price( string $key, ?Price $post ): ?Price {
		return $this->named->price( $key, $post );
	}

	/** @return array<string, bool> Keys of parts with nothing in them. */
	private function empty_parts(): array {
		$empty = array();
		foreach ( $this->out as $key => $stretches ) {
			// Empty paragraphs and page breaks are no content; a block without HTML of its own is.
			$text = (string) preg_replace( '/<!--\s*(?:\/?wp:(?:paragraph|more|nextpage)\b|nextpage|more|noteaser).*?-->|&nbsp;|<\/?(?:p|br)\b[^>]*>/s', '', implode( '', $stretches ) );
			if ( '' !== (string) $key && '' === trim( $text ) ) {
				$empty[ $key ] = true;
			}
		}
		return $empty;
	}

	/**
	 * Go through one block.
	 *
	 * @param array<string, mixed> $block parsed block.
	 */
	private function block( array $block ): void {
		$name = (string) $block['blockName'];
		if ( 'bitcache/paywall' === $name ) {
			$this->divide();
		} elseif ( 'bitcache/paid' === $name ) {
			$this->wrap( $block );
		} elseif ( ! Marks::has_ours( $block ) ) {
			$this->emit( serialize_block( $block ) );
		} elseif ( Marks::attrs_have( $block ) ) {
			// Where such a text would come out of the block is not to be known.
			$this->divide();
			$this->emit( $this->open ? serialize_block( $block ) : Marks::without_markers( serialize_block( $block ) ) );
		} elseif ( $block['innerBlocks'] ) {
			$this->container( $block );
		} else {
			$this->html( implode( '', $block['innerContent'] ) );
		}
	}

	/**
	 * Go through a block that has others in it.
	 *
	 * @param array<string, mixed> $block parsed block.
	 */
	private function container( array $block ): void {
		$outer = $this->frames[ count( $this->frames ) - 1 ];
		$shell = explode( "\0", get_comment_delimited_block_content( $block['blockName'], $block['attrs'], "\0" ), 2 );
		if ( Marks::own_html_has( $block ) ) {
			$this->divide();
			$outer = $this->frames[ count( $this->frames ) - 1 ];
		}
		$this->emit( $shell[0] );
		$this->path[] = ++$this->containers;
		$next         = 0;
		foreach ( $block['innerContent'] as $chunk ) {
			if ( null === $chunk ) {
				$this->block( $block['innerBlocks'][ $next++ ] );
				continue;
			}
			$chunk = Marks::without_markers( $chunk );
			$top   = $this->frames[ count( $this->frames ) - 1 ];
			if ( $top['key'] === $outer['key'] && $top['n'] === $outer['n'] ) {
				$this->emit( $chunk );
			} else {
				$this->emit_to( $outer, Marks::skeleton( $chunk ) );
				$this->emit( force_balance_tags( $chunk ) );
			}
		}
		array_pop( $this->path );
		$this->emit_to( $outer, $shell[1] ?? '' );
	}

	/**
	 * Go through a wrap block.
	 *
	 * @param array<string, mixed> $block parsed block.
	 */
	private function wrap( array $block ): void {
		$this->path[] = ++$this->containers;
		$this->begin( $this->key( (array) $block['attrs'] ), 'block' );
		$depth = count( $this->frames );
		$next  = 0;
		foreach ( $block['innerContent'] as $chunk ) {
			if ( null === $chunk ) {
				$this->block( $block['innerBlocks'][ $next++ ] );
			} elseif ( $block['innerBlocks'] ) {
				$this->pending = $this->pending || array() !== Tokens::of( $chunk );
				$this->emit( Marks::without_markers( $chunk ) );
			} else {
				$this->html( $chunk );
			}
		}
		// What was opened inside and not closed withholds the rest.
		$this->pending = $this->pending || count( $this->frames ) > $depth;
		$this->frames  = array_slice( $this->frames, 0, $depth );
		array_pop( $this->path );
		$this->end();
	}

	/**
	 * Go through the HTML of a block, or of a post without blocks.
	 *
	 * @param string $html any HTML.
	 */
	private function html( string $html ): void {
		$at = 0;
		foreach ( Tokens::of( $html ) as $token ) {
			$this->emit( force_balance_tags( substr( $html, $at, $token['at'] - $at ) ) );
			$at = $token['at'] + $token['length'];
			if ( 'open' === $token['type'] ) {
				$this->begin( $this->key( $token['atts'] ), 'shortcode' );
			} elseif ( 'close' === $token['type'] ) {
				$this->close();
			} elseif ( 'wall' === $token['type'] ) {
				$this->divide();
			} elseif ( 'comment' === $token['type'] ) {
				$this->begin( Part::POST, 'comment' );
				$this->emit( Marks::without_markers( substr( $html, $token['at'], $token['length'] ) ) );
				$this->end();
			} elseif ( 'broken' === $token['type'] ) {
				$this->divide();
				$this->emit( Marks::without_markers( substr( $html, $token['at'], $token['length'] ) ) );
			}
		}
		$rest = substr( $html, $at );
		$this->emit( $at > 0 ? force_balance_tags( $rest ) : $rest );
	}

	/** From here on all is withheld; inside a wrap: after the wrap. */
	private function divide(): void {
		if ( count( $this->frames ) > 1 ) {
			$this->pending = true;
			return;
		}
		$this->pending = false;
		$this->begin( Part::POST, 'divider' );
	}

	/** A shortcode is closed, if one is open that may be closed here. */
	private function close(): void {
		$top = $this->frames[ count( $this->frames ) - 1 ];
		if ( 'shortcode' === $top['kind'] && array_slice( $top['path'], 0, count( $this->path ) ) === $this->path ) {
			$this->end();
		}
	}

	/**
	 * Begin a stretch, unless what stands around it is the same part.
	 *
	 * @param string $key  of the part.
	 * @param string $kind `block`, `shortcode` or `divider`.
	 */
	private function begin( string $key, string $kind ): void {
		$top = $this->frames[ count( $this->frames ) - 1 ];
		$n   = $top['n'];
		if ( $this->open ) {
			$key = '';
		} elseif ( $top['key'] !== $key ) {
			$n = isset( $this->out[ $key ] ) ? count( $this->out[ $key ] ) + 1 : 1;
			$this->emit( "\n\n<!-- bitcache:wall $key $n -->\n\n" );
			$this->out[ $key ][ $n ] = '';
		}
		$this->frames[] = array(
			'key'  => $key,
			'n'    => $n,
			'kind' => $kind,
			'path' => $this->path,
		);
	}

	/** End the stretch on top. */
	private function end(): void {
		array_pop( $this->frames );
		if ( $this->pending && 1 === count( $this->frames ) ) {
			$this->divide();
		}
	}

	/**
	 * Return the part that a wrap belongs to: one without a price of its own is sold with the post.
	 *
	 * @param array<string, mixed> $atts attributes of the wrap.
	 */
	private function key( array $atts ): string {
		$key = Part::clean_key( $atts['part'] ?? '' );
		return '' !== $key && $this->named->has( $key ) ? $key : Part::POST;
	}

	/**
	 * Write to what is open.
	 *
	 * @param string $html a piece.
	 */
	private function emit( string $html ): void {
		$this->emit_to( $this->frames[ count( $this->frames ) - 1 ], $html );
	}

	/**
	 * Write to a stretch, or to the teaser.
	 *
	 * @param array{key: string, n: int} $frame which.
	 * @param string                     $html  a piece.
	 */
	private function emit_to( array $frame, string $html ): void {
		$this->out[ $frame['key'] ][ $frame['n'] ] .= $html;
	}
}
