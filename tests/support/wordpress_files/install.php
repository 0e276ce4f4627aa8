<?php
/**
 * Installs a WordPress without a browser: php install.php FOLDER URL MULTISITE
 * Prints the application password of each user as JSON.
 */

define( 'WP_INSTALLING', true );
list( , $folder, $url, $multisite ) = $argv;
$parts                              = parse_url( $url );

$_SERVER['HTTP_HOST']       = $parts['host'] . ':' . $parts['port'];
$_SERVER['SERVER_NAME']     = $parts['host'];
$_SERVER['REQUEST_URI']     = ( $parts['path'] ?? '' ) . '/';
$_SERVER['REQUEST_METHOD']  = 'GET';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';

error_reporting( E_ALL & ~E_DEPRECATED );
require $folder . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/plugin.php';
add_filter( 'pre_wp_mail', '__return_true' );

wp_install( 'The Slow Quarterly', 'admin', 'admin@example.org', true, '', 'admin-pass' );
update_option( 'siteurl', $url );
update_option( 'home', $url );
update_option( 'users_can_register', 0 );
update_option( 'default_pingback_flag', 0 );

if ( $multisite ) {
	foreach ( $wpdb->tables( 'ms_global' ) as $table => $prefixed ) {
		$wpdb->$table = $prefixed;
	}
	install_network();
	populate_network( 1, $_SERVER['HTTP_HOST'], 'admin@example.org', 'Network', ( $parts['path'] ?? '' ) . '/', false );
}

foreach ( array( 'twentytwentyfive', 'twentytwentyfour', 'twentytwentythree' ) as $theme ) {
	if ( wp_get_theme( $theme )->exists() ) {
		switch_theme( $theme );
		break;
	}
}

$passwords = array();
foreach ( array( 'admin' => 'administrator', 'editor' => 'editor', 'author' => 'author', 'subscriber' => 'subscriber' ) as $name => $role ) {
	$user = get_user_by( 'login', $name );
	if ( ! $user ) {
		$id   = wp_insert_user( array( 'user_login' => $name, 'user_pass' => $name . '-pass', 'user_email' => $name . '@example.org', 'role' => $role ) );
		$user = get_user_by( 'id', $id );
	}
	list( $passwords[ $name ] ) = WP_Application_Passwords::create_new_application_password( $user->ID, array( 'name' => 'tests' ) );
}
echo json_encode( $passwords ), "\n";
