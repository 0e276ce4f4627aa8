<?php
/**
 * The parts of the plugin, built once.
 *
 * @package Bitcache
 */

namespace Bitcache;

/**
 * Says which classes listen to WordPress, and when. Building one has no side effects; its
 * `register` attaches its hooks.
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

	/** Options that every page asks for. Here, because the classes that write them are not loaded by it. */
	const VERSION_OPTION = 'bitcache_version';
	const FILES_OPTION   = 'bitcache_files';
	const TEST_OPTION    = 'bitcache_leak_test';

	/** What is only written, never read by a page: the desk waits for the first of these, and of fields for its own. */
	const WRITES = array(
		'rest_api_init',
		// The first that an attachment passes, too.
		'wp_insert_post_empty_content',
		'transition_post_status',
		'pre_delete_post',
		'pre_delete_attachment',
		'set_object_terms',
		'deleted_term_relationships',
		'added_post_meta',
		'updated_post_meta',
		'deleted_post_meta',
		'added_user_meta',
		'updated_user_meta',
		'deleted_user_meta',
		'added_term_meta',
		'updated_term_meta',
		'deleted_term_meta',
		'pre_update_option',
		'wp_handle_upload_prefilter',
		'wp_handle_sideload_prefilter',
		'set_logged_in_cookie',
		'clear_auth_cookie',
		'deleted_user',
		'wp_mail',
	);

	/** The same of a network. */
	const NETWORK = array( 'wp_initialize_site', 'wp_uninitialize_site', 'wpmu_drop_tables', 'remove_user_from_blog' );

	/** Of fields those that somebody at the desk follows: ours, and the names of an attachment's files. */
	const FIELDS = '/bitcache|^_wp_attach/i';

	/** What listens where posts, prices and settings are written, and at addresses of our own. Each has `register(): void`. */
	const DESK = array(
		Store\Schema::class,
		Store\Remover::class,
		Settings::class,
		Content\Defaults::class,
		Surfaces\Rest::class,
		Surfaces\Mail::class,
		Surfaces\PublicText::class,
		Surfaces\Crawlers::class,
		Front\AllBlocks::class,
		Http\ContentRoute::class,
		Http\ReadingPage::class,
		Leak\Canary::class,
		Leak\Page::class,
		Server\Schedule::class,
		Server\Health::class,
		Server\Queue::class,
		Server\Sales::class,
		Admin\Connect::class,
		Admin\SettingsPage::class,
		Admin\Notices::class,
		Editor\Meta::class,
		Editor\Scripts::class,
		Editor\MetaBox::class,
		Editor\Columns::class,
		Editor\Terms::class,
		Editor\Authors::class,
		Shop\Events::class,
		Shop\PayButton::class,
		Files\Keeper::class,
		Files\Download::class,
		Files\Fields::class,
		Files\Check::class,
		Files\Cli::class,
	);

	/** @var array<string, true> classes that listen already */
	private $listening = array();

	/** @var bool whether the translations are attached */
	private $speaks = false;

	/** @var bool whether a post was met that costs, or has cost */
	private $has_met = false;

	/** Attach every hook that this request may need. */
	public function register(): void {
		Hooks::attach( Hooks::PAGES );
		foreach ( Hooks::SHORTCODES as $name => $method ) {
			add_shortcode( $name, $method );
		}
		if ( is_multisite() ) {
			add_action( 'switch_blog', array( $this, 'switched' ), 0, 0 );
		}
		$options = self::is_page_view() ? wp_load_alloptions() : array();
		if ( BITCACHE_VERSION !== ( $options[ self::VERSION_OPTION ] ?? '' ) ) {
			$this->open_desk();
			return;
		}
		if ( '' !== ( $options[ self::TEST_OPTION ] ?? null ) && is_array( get_option( self::TEST_OPTION ) ) ) {
			$this->attach( array( Leak\Canary::class ) );
		}
		$this->files( $options );
		Hooks::attach_to_all( is_multisite() ? array_merge( self::WRITES, self::NETWORK ) : self::WRITES, self::class . '::desk' );
	}

	/** Attach the translations, once: a class is loaded that may have something to say. */
	public function speak(): void {
		if ( ! $this->speaks ) {
			$this->speaks = true;
			Hooks::attach( Hooks::WORDS );
		}
	}

	/** Attach what posts that cost need, once: the first was met. */
	public function meet(): void {
		if ( $this->has_met ) {
			return;
		}
		$this->has_met = true;
		Hooks::attach( Hooks::MET );
		if ( Settings::get()['crawlers'] ) {
			$this->attach( array( Surfaces\Crawlers::class ) );
		}
	}

	/** What is found out about a post before every pattern is registered does not count: some hold a wall. */
	public static function look_again_if_early(): void {
		if ( ! did_action( 'wp_loaded' ) ) {
			add_action( 'wp_loaded', array( self::class, 'look_again' ), PHP_INT_MIN, 0 );
		}
	}

	/** Forget what was found out about posts. */
	public static function look_again(): void {
		foreach ( array( Surfaces\Strip::class, Content\Document::class, Content\Glance::class ) as $class ) {
			if ( class_exists( $class, false ) ) {
				$class::forget();
			}
		}
	}

	/** Another site of the network has its turn. */
	public function switched(): void {
		Content\Glance::forget();
		// With the desk they are there; and a site that is being made has no options yet.
		if ( ! isset( $this->listening[ self::class ] ) ) {
			$this->files( wp_load_alloptions() );
		}
	}

	/**
	 * Attach what private files need, where the site has any.
	 *
	 * @param array<string, string> $options those that WordPress reads together.
	 */
	private function files( array $options ): void {
		if ( '1' === ( $options[ self::FILES_OPTION ] ?? get_option( self::FILES_OPTION ) ) ) {
			Hooks::attach( Hooks::FILES );
		}
	}

	/**
	 * Attach what works behind the pages. Pages are quicker without it; whatever writes in the
	 * middle of a page brings it, but for fields of others: some plugins count each view in one.
	 *
	 * @param mixed $value what a filter passes on.
	 * @param mixed $id    of the object, where a field is written.
	 * @param mixed $key   of that field.
	 * @return mixed the value.
	 */
	public static function desk( $value = null, $id = null, $key = null ) {
		if ( '_meta' !== substr( (string) current_filter(), -5 ) || preg_match( self::FIELDS, (string) $key ) ) {
			self::get()->open_desk();
		}
		return $value;
	}

	/** Attach what works behind the pages, once. */
	private function open_desk(): void {
		if ( isset( $this->listening[ self::class ] ) ) {
			return;
		}
		$this->listening[ self::class ] = true;

		$this->has_met = true;
		Hooks::attach( Hooks::MET );
		Hooks::attach( Hooks::FILES );
		Hooks::attach( Hooks::DESK );
		$this->attach( self::DESK );
	}

	/**
	 * Let classes listen, each once.
	 *
	 * @param string[] $classes each with a method `register(): void`.
	 */
	private function attach( array $classes ): void {
		foreach ( $classes as $class ) {
			if ( ! isset( $this->listening[ $class ] ) ) {
				$this->listening[ $class ] = true;
				( new $class() )->register();
			}
		}
	}

	/** Say whether somebody looks at a page of the site, and nothing else happens. */
	private static function is_page_view(): bool {
		$method = $_SERVER['REQUEST_METHOD'] ?? ''; // phpcs:ignore -- compared only.
		$uri    = $_SERVER['REQUEST_URI'] ?? ''; // nosemgrep: raw-superglobal -- compared only.
		if ( 'cli' === PHP_SAPI || ( 'GET' !== $method && 'HEAD' !== $method ) || 'index.php' !== ( $GLOBALS['pagenow'] ?? '' ) ) {
			return false;
		}
		return ! is_admin() && ! wp_doing_cron() && ! wp_installing()
			&& ! ( defined( 'ALTERNATE_WP_CRON' ) && ALTERNATE_WP_CRON )
			&& ! defined( 'XMLRPC_REQUEST' )
			&& ! self::is_ours()
			&& false === strpos( $uri, 'rest_route' )
			&& false === strpos( $uri, '/' . rest_get_url_prefix() );
	}

	/** Say whether an address of our own is asked for: all of them are parameters of the front page. */
	private static function is_ours(): bool {
		foreach ( array_keys( $_GET ) as $name ) { // phpcs:ignore -- compared only.
			if ( 0 === strncmp( (string) $name, 'bitcache_', 9 ) ) {
				return true;
			}
		}
		return false;
	}
}
