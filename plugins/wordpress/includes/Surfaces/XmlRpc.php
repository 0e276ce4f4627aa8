<?php
/**
 * Withholds paid text from apps that ask over XML-RPC.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

/**
 * Who may edit a post gets all of it; others, whoever they are logged in as, what is public.
 */
final class XmlRpc {

	/**
	 * Withhold paid text in an XML-RPC answer to somebody who may not edit the post.
	 *
	 * @param array $answer the answer.
	 * @param array $post   the post as fields.
	 */
	public static function post( $answer, $post ) {
		return self::without_paid( $answer, get_post( isset( $post['ID'] ) ? (int) $post['ID'] : 0 ) );
	}

	/**
	 * Withhold paid text in an XML-RPC answer about a page.
	 *
	 * @param array    $answer the answer.
	 * @param \WP_Post $page   the page.
	 */
	public static function page( $answer, $page ) {
		return self::without_paid( $answer, $page );
	}

	/** Replace the texts of an XML-RPC answer. */
	private static function without_paid( $answer, $post ) {
		if ( ! $post instanceof \WP_Post || current_user_can( 'edit_post', $post->ID ) ) {
			return $answer;
		}
		$document = Strip::locked( $post );
		if ( null === $document ) {
			return $answer;
		}
		foreach ( array( 'post_content', 'description' ) as $key ) {
			if ( isset( $answer[ $key ] ) ) {
				$answer[ $key ] = $document->public_text();
			}
		}
		foreach ( array( 'text_more', 'mt_text_more' ) as $key ) {
			if ( isset( $answer[ $key ] ) ) {
				$answer[ $key ] = '';
			}
		}
		return $answer;
	}
}
