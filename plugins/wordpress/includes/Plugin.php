<?php
/**
 * The parts of the plugin, built once.
 *
 * @package Bitcache
 */

namespace Bitcache;

/**
 * Builds everything without side effects; `register` attaches the hooks.
 */
final class Plugin {

	/** @var Plugin|null */
	private static $instance = null;

	/** Return the one plugin of this request. */
	public static function get(): Plugin {
		if ( null === self::$instance ) {
			self::$instance = new self();
		}
		return self::$instance;
	}

	/** What is only written, never read by a page: the desk waits for the first of these. */
	const WRITES = array(
		'rest_api_init',
		'wp_insert_post_data',
		'pre_delete_post',
		'pre_delete_attachment',
		'add_post_metadata',
		'update_post_metadata',
		'delete_post_metadata',
		'add_user_metadata',
		'update_user_metadata',
		'delete_user_metadata',
		'add_term_metadata',
		'update_term_metadata',
		'delete_term_metadata',
		'pre_update_option',
		'wp_handle_upload_prefilter',
		'wp_handle_sideload_prefilter',
	);

	/** @var bool Whether the desk is there. */
	private $has_desk = false;

	/** Attach every hook. */
	public function register(): void {
		foreach ( $this->services() as $service ) {
			$service->register();
		}
		if ( ! self::is_page_view() ) {
			$this->desk();
			return;
		}
		foreach ( self::WRITES as $hook ) {
			add_filter( $hook, array( $this, 'desk' ), PHP_INT_MIN );
		}
	}

	/**
	 * Attach what works behind the pages. Pages are quicker without it; whatever writes in the
	 * middle of a page brings it.
	 *
	 * @param mixed $value what a filter passes on.
	 * @return mixed the same.
	 */
	public function desk( $value = null ) {
		if ( ! $this->has_desk ) {
			$this->has_desk = true;
			foreach ( $this->desk_services() as $service ) {
				$service->register();
			}
		}
		return $value;
	}

	/** Say whether somebody looks at a page of the site, and nothing else happens. */
	private static function is_page_view(): bool {
		$method = $_SERVER['REQUEST_METHOD'] ?? ''; // phpcs:ignore -- compared only.
		$uri    = $_SERVER['REQUEST_URI'] ?? ''; // nosemgrep: raw-superglobal -- compared only.
		if ( 'cli' === PHP_SAPI || ( 'GET' !== $method && 'HEAD' !== $method ) || is_admin() || wp_doing_cron() || wp_installing() ) {
			return false;
		}
		return 'index.php' === ( $GLOBALS['pagenow'] ?? '' )
			&& ! ( defined( 'ALTERNATE_WP_CRON' ) && ALTERNATE_WP_CRON )
			&& ! defined( 'XMLRPC_REQUEST' )
			&& false === strpos( $uri, 'rest_route' )
			&& false === strpos( $uri, '/' . rest_get_url_prefix() );
	}

	/**
	 * What listens to WordPress on every page, in the order in which hooks are attached.
	 *
	 * @return object[] each with a method `register(): void`.
	 */
	private function services(): array {
		return array(
			new Words(),
			new Surfaces\Surfaces(),
			new Store\Schema(),
			new Front\Blocks(),
			new Front\Assets(),
			new Front\Wall(),
			new Http\ContentRoute(),
			new Http\ReadingPage(),
			new Leak\Canary(),
			new Admin\Connect(),
			new Shop\WooCommerce(),
			new Shop\PayButton(),
			new Files\Urls(),
			new Files\Download(),
			new Files\FileBlock(),
		);
	}

	/**
	 * What listens where posts, prices and settings are written.
	 *
	 * @return object[] each with a method `register(): void`.
	 */
	private function desk_services(): array {
		return array(
			new Settings(),
			new Content\Defaults(),
			new Leak\Page(),
			new Server\Schedule(),
			new Server\Health(),
			new Server\Queue(),
			new Server\Sales(),
			new Admin\SettingsPage(),
			new Admin\Notices(),
			new Editor\Meta(),
			new Editor\Scripts(),
			new Editor\MetaBox(),
			new Editor\Columns(),
			new Editor\Terms(),
			new Editor\Authors(),
			new Shop\Events(),
			new Files\Keeper(),
			new Files\Fields(),
			new Files\Check(),
			new Files\Cli(),
		);
	}
}
