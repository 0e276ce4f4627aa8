<?php
// "ruleid" stands above a line that a rule finds, "ok" above one that it leaves alone.

function unescaped( $title, $post ) {
	// ruleid: unescaped
	echo $title;
	// ruleid: unescaped
	echo '<h1>' . $title . '</h1>';
	// ruleid: unescaped
	echo "<h1>$title</h1>";
	// ruleid: unescaped
	echo get_option( 'blogname' );
	// ruleid: unescaped
	echo '<p>' . esc_html( $title ) . $post->post_title;
	// ruleid: unescaped
	printf( '<a href="%s">%s</a>', esc_url( $title ), $title );
	// ruleid: unescaped
	printf( '<a title="%s">', $post->title() );
	// ruleid: unescaped
	echo Thing::title();
	$html = '<p>' . $title;
	// ruleid: unescaped
	print $html;
	// ok: unescaped
	echo '<h1>' . esc_html( $title ) . '</h1>';
	// ok: unescaped
	echo '<h1>' . esc_html__( 'Title', 'bitcache' ) . '</h1>';
	// ok: unescaped
	printf( '<a href="%s" class="%s">%s</a>', esc_url( $title ), esc_attr( $title ), esc_html( $title ) );
	// ok: unescaped
	printf( '<p data-id="%d"%s>', (int) $title, $title ? ' hidden' : '' );
	// ok: unescaped
	echo wp_kses( $title, array() );
}

function raw_superglobal( $wanted ) {
	// ruleid: raw-superglobal
	$name = sanitize_text_field( $_GET['name'] );
	// ruleid: raw-superglobal
	save( $_POST['name'] );
	// ruleid: raw-superglobal
	$agent = strtolower( $_SERVER['HTTP_USER_AGENT'] );
	// ruleid: raw-superglobal
	$cookie = $_COOKIE['name'] ?? '';
	// ok: raw-superglobal
	$good = sanitize_text_field( wp_unslash( $_GET['name'] ?? '' ) );
	// ok: raw-superglobal
	if ( isset( $_GET['name'] ) && 'GET' === $_SERVER['REQUEST_METHOD'] ) {
		// ok: raw-superglobal
		$value = $_COOKIE['name'] ?? null;
		return is_string( $value ) && preg_match( '/\A[a-z]+\z/', $value ) ? $value : $good . $name . $agent . $cookie;
	}
}

function unslashed_but_not_cleaned( $post_id ) {
	$typed = wp_unslash( $_POST['price'] );
	// ruleid: unslashed-but-not-cleaned
	update_post_meta( $post_id, '_price', $typed );
	// ruleid: unslashed-but-not-cleaned
	header( 'X-Name: ' . wp_unslash( $_GET['name'] ) );
	// ruleid: unslashed-but-not-cleaned
	readfile( '/files/' . wp_unslash( $_GET['name'] ) );
	// ruleid: unslashed-but-not-cleaned
	$answer = wp_remote_get( wp_unslash( $_GET['url'] ) );
	// ok: unslashed-but-not-cleaned
	update_post_meta( $post_id, '_price', Settings::amount( $typed ) );
	// ok: unslashed-but-not-cleaned
	update_option( 'name', sanitize_text_field( wp_unslash( $_POST['name'] ) ) );
	return $answer;
}

function unprepared_sql( $id, $table ) {
	global $wpdb;
	// ruleid: unprepared-sql
	$wpdb->query( "DELETE FROM {$wpdb->posts} WHERE ID = $id" );
	// ruleid: unprepared-sql
	$wpdb->get_var( 'SELECT 1 FROM x WHERE y = ' . $id );
	$sql = "SELECT * FROM x WHERE y = '$id'";
	// ruleid: unprepared-sql
	$wpdb->get_results( $sql );
	// ok: unprepared-sql
	$wpdb->query( $wpdb->prepare( "DELETE FROM $table WHERE ID = %d", $id ) );
	// ok: unprepared-sql
	$wpdb->get_col( "SELECT ID FROM {$wpdb->posts}" );
	// ruleid: values-in-prepared-sql
	$wpdb->query( $wpdb->prepare( "DELETE FROM {$wpdb->posts} WHERE ID = %d AND post_name = '$id'", $id ) );
	// ruleid: values-in-prepared-sql
	$wpdb->query( $wpdb->prepare( 'DELETE FROM x WHERE ID = %d AND y = ' . $id, $id ) );
	// ok: values-in-prepared-sql
	$wpdb->query( $wpdb->prepare( "DELETE FROM {$wpdb->posts} WHERE ID = %d", $id ) );
}

function routes() {
	// ruleid: route-without-permission
	register_rest_route( 'x/v1', '/y', array( 'callback' => 'f' ) );
	// ok: route-without-permission
	register_rest_route( 'x/v1', '/y', array( 'callback' => 'f', 'permission_callback' => 'g' ) );
}

class Handlers {
	public function register() {
		add_action( 'admin_post_open', array( $this, 'open' ) );
		add_action( 'admin_post_guarded', array( $this, 'guarded' ) );
		add_action( 'wp_ajax_open', array( $this, 'ajax_open' ) );
		add_action( 'wp_ajax_guarded', array( $this, 'ajax_guarded' ) );
		add_action( 'save_post', array( $this, 'save_open' ) );
		add_action( 'save_post', array( $this, 'save_by_nonce' ) );
		add_action( 'save_post', array( $this, 'save_guarded' ) );
	}

	// ruleid: hook-without-guard
	public function open() {
		update_option( 'x', 1 );
	}

	// ok: hook-without-guard
	public function guarded() {
		self::guard( 'x' );
		update_option( 'x', 1 );
	}

	// ruleid: hook-without-guard
	public function ajax_open() {
		wp_send_json_success( get_option( 'x' ) );
	}

	// ok: hook-without-guard
	public function ajax_guarded() {
		if ( ! current_user_can( 'manage_options' ) || ! check_ajax_referer( 'x', false, false ) ) {
			wp_send_json_error( null, 403 );
		}
		wp_send_json_success( get_option( 'x' ) );
	}

	public function save_open( $post_id ) {
		// ruleid: form-without-nonce
		update_post_meta( $post_id, 'x', absint( wp_unslash( $_POST['x'] ) ) );
	}

	public function save_by_nonce( $post_id ) {
		// ruleid: nonce-without-capability
		if ( ! wp_verify_nonce( sanitize_key( wp_unslash( $_POST['n'] ?? '' ) ), 'x' ) ) {
			return;
		}
		update_post_meta( $post_id, 'x', 1 );
	}

	public function save_guarded( $post_id ) {
		// ok: nonce-without-capability
		if ( ! wp_verify_nonce( sanitize_key( wp_unslash( $_POST['n'] ?? '' ) ), 'x' ) || ! current_user_can( 'edit_post', $post_id ) ) {
			return;
		}
		// ok: form-without-nonce
		update_post_meta( $post_id, 'x', absint( wp_unslash( $_POST['x'] ) ) );
	}

	private static function guard( $action ) {
		if ( ! current_user_can( 'manage_options' ) ) {
			wp_die();
		}
		// ok: nonce-without-capability
		check_admin_referer( $action );
	}
}

function redirects( $url ) {
	if ( ! $url ) {
		// ruleid: redirect-without-exit
		wp_safe_redirect( home_url() );
		return;
	}
	// ok: redirect-without-exit
	wp_redirect( $url );
	exit;
}

function code_out_of_data( $file, $text ) {
	// ruleid: include-of-a-variable
	require $file;
	// ruleid: include-of-a-variable
	include_once __DIR__ . '/' . $file . '.php';
	// ok: include-of-a-variable
	require_once ABSPATH . 'wp-admin/includes/file.php';
	// ruleid: dynamic-code
	eval( $text );
	// ruleid: dynamic-code
	extract( $text );
	// ok: dynamic-code
	evaluate( $text );
	// ok: unserialize
	maybe_unserialize( $text );
	// ruleid: unserialize
	return unserialize( $text );
}

function secrets( $text, $key, $given ) {
	// ruleid: comparison-of-secrets
	if ( hash_hmac( 'sha256', $text, $key ) === $given ) {
		// ruleid: guessable-random
		return uniqid();
	}
	// ruleid: comparison-of-secrets
	$good = $given == hash_hmac( 'sha256', $text, $key );
	// ok: comparison-of-secrets
	$good = hash_equals( hash_hmac( 'sha256', $text, $key ), $given );
	// ok: guessable-random
	return $good ? random_bytes( 16 ) : random_int( 1, 6 );
}

function fetches( $url, $context ) {
	// ruleid: fetched-without-wordpress
	$one = file_get_contents( 'https://example.org/' );
	// ruleid: fetched-without-wordpress
	$two = file_get_contents( $url, false, $context );
	// ok: fetched-without-wordpress
	return $one . $two . file_get_contents( 'php://input', false, null, 0, 100 );
}
