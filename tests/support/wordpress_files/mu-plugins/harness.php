<?php
/**
 * What the tests need of a WordPress: nothing goes out but to loopback, no mail leaves, and
 * code that a test sends with the secret of its site is run.
 */

add_filter(
	'pre_http_request',
	function ( $answer, $arguments, $url ) {
		$host = parse_url( $url, PHP_URL_HOST );
		if ( in_array( $host, array( '127.0.0.1', 'localhost' ), true ) ) {
			return $answer;
		}
		if ( 'api.wordpress.org' === $host ) {
			// Nothing is new; without an answer WordPress would complain in its log.
			$nothing = '{"plugins":[],"themes":[],"offers":[],"translations":[],"no_update":[]}';
			return array(
				'headers'  => array(),
				'body'     => $nothing,
				'response' => array( 'code' => 200, 'message' => 'OK' ),
				'cookies'  => array(),
				'filename' => null,
			);
		}
		return new WP_Error( 'blocked', 'The tests call nobody: ' . $host );
	},
	10,
	3
);

// Mail goes to a file, a line of JSON each.
add_filter(
	'pre_wp_mail',
	function ( $done, $mail ) {
		file_put_contents( BITCACHE_TEST_RUN . '/mail.log', wp_json_encode( $mail ) . "\n", FILE_APPEND );
		return true;
	},
	10,
	2
);

// A theme for one request alone, so that one site shows several.
if ( isset( $_SERVER['HTTP_X_TEST_THEME'] ) ) {
	$bitcache_test_theme = function () {
		return sanitize_key( $_SERVER['HTTP_X_TEST_THEME'] );
	};
	add_filter( 'pre_option_template', $bitcache_test_theme );
	add_filter( 'pre_option_stylesheet', $bitcache_test_theme );
}

// What a page costs from here on, behind its end; without the plugins where it is asked for.
if ( isset( $_SERVER['HTTP_X_TEST_COST'] ) ) {
	if ( 'without' === $_SERVER['HTTP_X_TEST_COST'] ) {
		// One that does nothing in its place: WordPress has work with every plugin.
		add_filter(
			'option_active_plugins',
			function () {
				return array( 'empty/empty.php' );
			}
		);
	}
	$bitcache_test_time = function () {
		$used = getrusage();
		return 1e6 * ( $used['ru_utime.tv_sec'] + $used['ru_stime.tv_sec'] ) + $used['ru_utime.tv_usec'] + $used['ru_stime.tv_usec'];
	};
	$bitcache_test_began = $bitcache_test_time();
	add_action(
		'shutdown',
		function () use ( $bitcache_test_time, $bitcache_test_began ) {
			echo "\n<!-- cost " . (int) ( $bitcache_test_time() - $bitcache_test_began ) . ' ' . (int) get_num_queries() . ' -->';
		},
		PHP_INT_MAX
	);
}

if ( isset( $_SERVER['HTTP_X_TEST_SECRET'] ) && hash_equals( BITCACHE_TEST_SECRET, $_SERVER['HTTP_X_TEST_SECRET'] ) ) {
	add_action(
		'wp_loaded',
		function () {
			$body = json_decode( file_get_contents( 'php://input' ), true );
			require_once ABSPATH . 'wp-admin/includes/admin.php';
			wp_set_current_user( (int) $body['user'] );
			$input = $body['input'];
			ob_start();
			try {
				// phpcs:ignore Squiz.PHP.Eval -- it is what this is for.
				$result = eval( $body['code'] );
				$answer = array( 'result' => $result );
			} catch ( Throwable $error ) {
				$answer = array( 'error' => (string) $error );
			}
			$answer['output'] = ob_get_clean();
			header( 'Content-Type: application/json' );
			echo wp_json_encode( $answer, JSON_INVALID_UTF8_SUBSTITUTE );
			exit;
		},
		PHP_INT_MAX
	);
}
