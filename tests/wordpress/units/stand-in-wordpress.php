<?php
/**
 * Thin stand-ins for what the units call of WordPress. The tests beside this folder use the real one.
 */

/** What the stand-ins remember; each test begins anew. */
final class Stand_In {

	/** @var array<string, mixed> */
	public static $options = array();

	/** @var array<int, array{method: string, url: string, body: array<string, mixed>|null}> */
	public static $calls = array();

	/** @var callable|null gets method, url and body; returns status and body. */
	public static $server = null;

	/** @var array<string, int> when jobs run, by their names. */
	public static $jobs = array();

	public static function reset(): void {
		self::$jobs      = array();
		$GLOBALS['wpdb'] = new Stand_In_Database();
		self::$options = array();
		self::$calls   = array();
		self::$server  = null;
		WC_Order::$all = array();
	}

	/** Connect the site, as the consent page would. */
	public static function connect(): void {
		self::$options['bitcache_connection'] = array(
			'server'  => 'https://pay.example',
			'api_url' => 'https://pay.example/v1',
			'site_id' => 'st_AAAAAAAAAAAAAAAAAAAAAA',
		);
		self::$options['bitcache_secret']     = array(
			'secret' => 'bcsk_a-secret-of-a-site-000000',
			'keys'   => array( 'bcgk_current', 'bcgk_previous' ),
		);
	}
}

/** Two statements of SQL: add an option that is not there, and delete those whose time is over. */
class Stand_In_Database {
	public $options = 'wp_options';
	public function esc_like( $text ) {
		return $text;
	}
	public function prepare( $sql, ...$values ) {
		return array( $sql, $values );
	}
	public function query( $prepared ) {
		list( $sql, list( $name, $value ) ) = $prepared;
		if ( 0 === strncmp( $sql, 'INSERT IGNORE', 13 ) && ! isset( Stand_In::$options[ $name ] ) ) {
			Stand_In::$options[ $name ] = $value;
			return 1;
		}
		return 0;
	}
}

class WP_Error {
	public $code;
	public $message;
	public function __construct( $code = '', $message = '', $data = null ) {
		$this->code    = $code;
		$this->message = $message;
	}
	public function get_error_message() {
		return $this->message;
	}
}

class WP_REST_Response {
	public $status;
	public function __construct( $data = null, $status = 200 ) {
		$this->status = $status;
	}
}

class WP_REST_Request {
	private $body;
	private $headers;
	public function __construct( string $body, array $headers ) {
		$this->body    = $body;
		$this->headers = $headers;
	}
	public function get_body() {
		return $this->body;
	}
	public function get_header( $name ) {
		return $this->headers[ $name ] ?? null;
	}
}

function __( $text, $domain = '' ) {
	return $text;
}
function _n( $one, $many, $number, $domain = '' ) {
	return 1 === (int) $number ? $one : $many;
}
function esc_html__( $text, $domain = '' ) {
	return $text;
}
function get_option( $name, $default = false ) {
	return Stand_In::$options[ $name ] ?? $default;
}
function update_option( $name, $value, $autoload = null ) {
	Stand_In::$options[ $name ] = $value;
	return true;
}
function delete_option( $name ) {
	unset( Stand_In::$options[ $name ] );
}
function wp_next_scheduled( $name ) {
	return Stand_In::$jobs[ $name ] ?? false;
}
function wp_schedule_event( $at, $often, $name ) {
	Stand_In::$jobs[ $name ] = $at;
}
function add_action() {}
function add_filter() {}
function is_wp_error( $thing ) {
	return $thing instanceof WP_Error;
}
function wp_json_encode( $data, $flags = 0 ) {
	return json_encode( $data, $flags );
}
function wp_generate_uuid4() {
	return bin2hex( random_bytes( 16 ) );
}
function wp_strip_all_tags( $text ) {
	return trim( strip_tags( $text ) );
}
function sanitize_key( $key ) {
	return preg_replace( '/[^a-z0-9_\-]/', '', strtolower( $key ) );
}
function sanitize_text_field( $text ) {
	return is_string( $text ) ? trim( strip_tags( $text ) ) : '';
}
function wp_unslash( $value ) {
	return $value;
}
function plugins_url( $path, $file ) {
	return 'https://blog.example/wp-content/plugins/bitcache/' . $path;
}
function wp_register_script( $handle, $url, $needs = array(), $version = false, $last = false ) {
	Stand_In::$options[ 'script ' . $handle ] = array( $url, $needs );
}
function esc_html( $text ) {
	return htmlspecialchars( $text );
}
function get_current_blog_id() {
	return 1;
}
function rest_url( $path = '' ) {
	return 'https://blog.example/wp-json/' . $path;
}
function home_url( $path = '' ) {
	return 'https://blog.example' . $path;
}
function wp_validate_redirect( $url, $fallback = '' ) {
	return 0 === strncmp( $url, 'https://blog.example/', 21 ) ? $url : $fallback;
}
function remove_query_arg( $names, $url ) {
	return $url;
}
function number_format_i18n( $number, $decimals = 0 ) {
	return number_format( $number, $decimals );
}
function wp_remote_request( $url, $args ) {
	$body            = isset( $args['body'] ) ? json_decode( $args['body'], true ) : null;
	Stand_In::$calls[] = array(
		'method' => $args['method'],
		'url'    => $url,
		'body'   => $body,
	);
	if ( null === Stand_In::$server ) {
		return new WP_Error( 'http_request_failed', 'nobody there' );
	}
	list( $status, $answer ) = ( Stand_In::$server )( $args['method'], substr( $url, strlen( 'https://pay.example/v1' ) ), $body );
	return array(
		'status' => $status,
		'body'   => json_encode( $answer ),
	);
}
function wp_remote_retrieve_header( $answer, $name ) {
	return '';
}
function wp_remote_retrieve_response_code( $answer ) {
	return $answer['status'];
}
function wp_remote_retrieve_body( $answer ) {
	return $answer['body'];
}
function determine_locale() {
	return Stand_In::$options['locale'] ?? 'en_US';
}
