<?php
/**
 * Puts reusable blocks and patterns in the place where they are shown.
 *
 * @package Bitcache
 */

namespace Bitcache\Content;

/**
 * Only where what they hold decides what is withheld; all others stay as they are.
 */
final class Refs {

	/** @var array<string, bool> What is being put in place, so that none holds itself. */
	private $seen = array();

	/**
	 * Return blocks with their references replaced.
	 *
	 * @param array<int, array<string, mixed>> $blocks parsed blocks.
	 * @param bool                             $all    also those that have no markers.
	 * @return array<int, array<string, mixed>>
	 */
	public function resolve( array $blocks, bool $all ): array {
		foreach ( $blocks as $at => $block ) {
			$content = $this->content( $block, $all );
			if ( null !== $content ) {
				$name                = $this->name( $block );
				$this->seen[ $name ] = true;
				$inner               = $this->resolve( parse_blocks( $content ), $all );
				unset( $this->seen[ $name ] );
				// A block without a name is written without its delimiters.
				$blocks[ $at ] = array(
					'blockName'    => null,
					'attrs'        => array(),
					'innerBlocks'  => $inner,
					'innerHTML'    => '',
					'innerContent' => array_fill( 0, count( $inner ), null ),
				);
			} elseif ( $block['innerBlocks'] ) {
				$blocks[ $at ]['innerBlocks'] = $this->resolve( $block['innerBlocks'], $all );
			}
		}
		return $blocks;
	}

	/**
	 * Say whether a pattern that is named in some content has our markers.
	 *
	 * @param string $raw block markup.
	 */
	public static function has_marked_pattern( string $raw ): bool {
		foreach ( self::named( $raw, 'pattern', 'slug' ) as $slug ) {
			$content = self::pattern( $slug );
			if ( Parser::has_markers( $content ) || Defaults::names_marked_block( $content ) ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Return what blocks of a kind name, as WordPress reads them. Cheap where there are none.
	 *
	 * @param string $raw       block markup.
	 * @param string $block     `block` or `pattern`.
	 * @param string $attribute that names it.
	 * @return string[]
	 */
	public static function named( string $raw, string $block, string $attribute ): array {
		if ( false === strpos( $raw, $block ) || ! preg_match( '/<!--\s+wp:(?:core\/)?' . $block . '\s/', $raw ) ) {
			return array();
		}
		$names = array();
		$left  = parse_blocks( $raw );
		while ( $left ) {
			$one = array_pop( $left );
			array_push( $left, ...$one['innerBlocks'] );
			if ( 'core/' . $block === $one['blockName'] && is_scalar( $one['attrs'][ $attribute ] ?? null ) ) {
				$names[] = (string) $one['attrs'][ $attribute ];
			}
		}
		return $names;
	}

	/**
	 * Return what a block shows from elsewhere, or null to leave it as it is.
	 *
	 * @param array<string, mixed> $block parsed block.
	 * @param bool                 $all   also what has no markers.
	 */
	private function content( array $block, bool $all ): ?string {
		$name = $this->name( $block );
		if ( '' === $name || isset( $this->seen[ $name ] ) ) {
			return null;
		}
		$content = 'core/pattern' === $block['blockName'] ? self::pattern( (string) ( $block['attrs']['slug'] ?? '' ) ) : self::reusable( (int) ( $block['attrs']['ref'] ?? 0 ) );
		return $all || Glance::is_marked( $content ) ? $content : null;
	}

	/**
	 * Return a name for what a block refers to, or "" for other blocks.
	 *
	 * @param array<string, mixed> $block parsed block.
	 */
	private function name( array $block ): string {
		if ( 'core/block' !== $block['blockName'] && 'core/pattern' !== $block['blockName'] ) {
			return '';
		}
		$target = $block['attrs']['ref'] ?? $block['attrs']['slug'] ?? '';
		return is_scalar( $target ) ? $block['blockName'] . ':' . $target : '';
	}

	/**
	 * Return the content of a reusable block, as WordPress would show it.
	 *
	 * @param int $id of the post.
	 */
	private static function reusable( int $id ): string {
		$post = $id > 0 ? get_post( $id ) : null;
		$good = $post && 'wp_block' === $post->post_type && 'publish' === $post->post_status && '' === $post->post_password;
		return $good ? (string) $post->post_content : '';
	}

	/**
	 * Return the content of a registered pattern.
	 *
	 * @param string $slug its name.
	 */
	private static function pattern( string $slug ): string {
		$registry = \WP_Block_Patterns_Registry::get_instance();
		$pattern  = '' !== $slug && $registry->is_registered( $slug ) ? $registry->get_registered( $slug ) : array();
		return (string) ( $pattern['content'] ?? '' );
	}
}
