<?php
/**
 * What a web server's rewrite rules do, for `php -S`: files as they are, everything else
 * through index.php; BITCACHE_TEST_FOLDER is the sub-folder that WordPress is in.
 */

$root = $_SERVER['DOCUMENT_ROOT'];
$base = (string) getenv( 'BITCACHE_TEST_FOLDER' );
$path = rawurldecode( (string) parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) );
if ( false !== strpos( $path, '..' ) || ( '' !== $base && 0 !== strpos( $path, $base . '/' ) ) ) {
	http_response_code( 404 );
	return true;
}
if ( getenv( 'BITCACHE_TEST_MULTISITE' ) ) {
	// The rules of WordPress' own .htaccess for a network in sub-folders.
	$rest = substr( $path, strlen( $base ) + 1 );
	$rest = preg_replace( '#^([_0-9a-zA-Z-]+/)?(wp-(?:content|admin|includes).*)#', '$2', $rest, 1, $done );
	if ( ! $done ) {
		$rest = preg_replace( '#^([_0-9a-zA-Z-]+/)?([^/]*\.php)$#', '$2', $rest );
	}
	$path = $base . '/' . $rest;
}
$file = $root . $path;
if ( is_dir( $file ) && is_file( rtrim( $file, '/' ) . '/index.php' ) && $path !== $base . '/' ) {
	if ( '/' !== substr( $path, -1 ) ) {
		header( 'Location: ' . $path . '/', true, 301 );
		return true;
	}
	$path .= 'index.php';
	$file .= 'index.php';
}
if ( is_file( $file ) && '.php' !== substr( $file, -4 ) ) {
	if ( $path === rawurldecode( (string) parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) ) ) {
		return false;
	}
	$types = array( 'css' => 'text/css', 'js' => 'text/javascript', 'png' => 'image/png', 'jpg' => 'image/jpeg', 'svg' => 'image/svg+xml' );
	header( 'Content-Type: ' . ( $types[ pathinfo( $file, PATHINFO_EXTENSION ) ] ?? 'application/octet-stream' ) );
	readfile( $file );
	return true;
}
if ( ! is_file( $file ) ) {
	$path = $base . '/index.php';
	$file = $root . $path;
}
$_SERVER['SCRIPT_NAME']     = $path;
$_SERVER['PHP_SELF']        = $path;
$_SERVER['SCRIPT_FILENAME'] = $file;
chdir( dirname( $file ) );
require $file;
