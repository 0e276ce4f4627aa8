<?php
/**
 * Plugin Name: A stand-in for plugins that keep several languages in one post
 *
 * Like those, it takes the reader's language out of the text as soon as a post is loaded, and
 * once more wherever the text is shown. It is made for tests.
 */

function bitcache_test_translate( $text ) {
	return preg_match( '#\[:en\](.*?)\[:de\]#s', (string) $text, $found ) ? $found[1] : $text;
}
add_filter(
	'the_posts',
	function ( $posts ) {
		if ( is_admin() ) {
			return $posts;
		}
		foreach ( $posts as $post ) {
			$post->post_content = bitcache_test_translate( $post->post_content );
		}
		return $posts;
	},
	5
);
foreach ( array( 'the_content', 'get_the_excerpt', 'the_excerpt', 'the_excerpt_rss', 'the_content_feed' ) as $bitcache_test_name ) {
	add_filter( $bitcache_test_name, 'bitcache_test_translate', 0 );
}
