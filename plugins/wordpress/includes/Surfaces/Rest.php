<?php
/**
 * Withholds paid text in the REST API.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

use Bitcache\Content\Document;
use Bitcache\Content\Glance;

/**
 * Looks at every post that a route of WordPress prepares; whole texts go to who may edit the post.
 */
final class Rest {

	/** Attach the hooks. */
	public function register(): void {
		add_action( 'rest_api_init', array( $this, 'attach' ), PHP_INT_MAX );
	}

	/** Attach one filter for each kind of post that the API knows. */
	public function attach(): void {
		foreach ( get_post_types( array(), 'names' ) as $type ) {
			if ( ! Glance::is_internal( $type ) ) {
				add_filter( 'rest_prepare_' . $type, array( $this, 'prepare' ), PHP_INT_MAX, 3 );
			}
		}
		add_filter( 'rest_prepare_autosave', array( $this, 'prepare' ), PHP_INT_MAX, 3 );
	}

	/**
	 * Take what costs out of one answer.
	 *
	 * @param \WP_REST_Response|mixed $response the answer.
	 * @param \WP_Post                $post     its post.
	 * @param \WP_REST_Request        $request  the call.
	 */
	public function prepare( $response, $post, $request = null ) {
		if ( ! $response instanceof \WP_REST_Response || ! $post instanceof \WP_Post ) {
			return $response;
		}
		$owner = wp_is_post_revision( $post ) ? get_post( $post->post_parent ) : $post;
		if ( ! $owner instanceof \WP_Post || current_user_can( 'edit_post', $owner->ID ) ) {
			return $response;
		}
		$data = $response->get_data();
		if ( is_array( $data ) && Strip::hides_words( $post ) ) {
			foreach ( array( 'caption', 'description', 'alt_text' ) as $field ) {
				if ( isset( $data[ $field ] ) ) {
					$data[ $field ] = is_array( $data[ $field ] ) ? array( 'rendered' => '' ) : '';
				}
			}
			$response->set_data( $data );
		}
		$document = Strip::locked( $post );
		if ( ! is_array( $data ) || ! isset( $data['content'] ) || ! is_array( $data['content'] ) ) {
			return $response;
		}
		$data['content'] = $this->content( $data['content'], $document );
		$response->set_data( $data );
		return $response;
	}

	/** Clean the field `content` of an answer. */
	private function content( array $content, ?Document $document ): array {
		if ( isset( $content['raw'] ) ) {
			$content['raw'] = null === $document ? Strip::cut( (string) $content['raw'] ) : $document->public_text();
		}
		if ( null === $document && isset( $content['rendered'] ) ) {
			$content['rendered'] = Strip::cut( (string) $content['rendered'] );
		}
		return $content;
	}
}
