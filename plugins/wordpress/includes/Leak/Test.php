<?php
/**
 * The leak test.
 *
 * @package Bitcache
 */

namespace Bitcache\Leak;

/**
 * Plants canaries, asks for them as a stranger through every surface, and takes them away again.
 */
final class Test {

	/** Seconds to wait for one answer. */
	private const LIMIT = 10;

	/** Seconds that a test may take; what is left then stays unknown. */
	private const BUDGET = 150;

	/** Answers that may stay away in a row before the test gives up. */
	private const PATIENCE = 3;

	/** @var string[] words that no answer may hold */
	private $canaries = array();

	/** @var string proof of the test's requests */
	private $token = '';

	/** @var float when to stop, in seconds of the system's clock */
	private $deadline = 0.0;

	/** @var int answers that stayed away in a row */
	private $silent = 0;

	/**
	 * Run the test.
	 *
	 * @param callable|null $progress called with each `Result`.
	 * @return Result[]
	 */
	public function run( ?callable $progress = null ): array {
		if ( function_exists( 'set_time_limit' ) ) {
			@set_time_limit( self::BUDGET + 60 ); // phpcs:ignore -- may be switched off.
		}
		ignore_user_abort( true );
		$this->deadline = microtime( true ) + self::BUDGET;
		$results        = array();
		try {
			foreach ( $this->surfaces() as $surface ) {
				$result    = $this->look( $surface );
				$results[] = $result;
				if ( null !== $progress ) {
					$progress( $result );
				}
			}
		} finally {
			Canary::remove();
		}
		return $results;
	}

	/**
	 * Return one word for all results: red, green, or unknown.
	 *
	 * @param Result[] $results of `run`.
	 */
	public static function verdict( array $results ): string {
		$states = array();
		foreach ( $results as $result ) {
			$states[ $result->state ] = true;
		}
		if ( isset( $states[ Result::RED ] ) ) {
			return Result::RED;
		}
		return isset( $states[ Result::UNKNOWN ] ) || ! isset( $states[ Result::GREEN ] ) ? Result::UNKNOWN : Result::GREEN;
	}

	/**
	 * Say whether the site answered at all.
	 *
	 * @param Result[] $results of `run`.
	 */
	public static function was_answered( array $results ): bool {
		foreach ( $results as $result ) {
			if ( Result::UNKNOWN !== $result->state ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Plant everything and list what to look at.
	 *
	 * @return Surface[]
	 */
	private function surfaces(): array {
		$samples     = Canary::plant();
		$late        = array_pop( $samples );
		$files       = SampleFile::plant();
		$this->token = $samples[0]->token;
		$list        = array();
		foreach ( $samples as $sample ) {
			$this->canaries[] = $sample->secret;
			$list             = array_merge( $list, Surfaces::of_post( $sample ) );
		}
		$list = array_merge( $list, Surfaces::of_site( $samples[0] ), Surfaces::of_api( $samples[0] ), $this->late( $late ) );
		foreach ( $files as $file ) {
			if ( '' !== $file->secret ) {
				$this->canaries[] = $file->secret;
			}
			$list = array_merge( $list, Surfaces::of_file( $file ) );
		}
		return $list;
	}

	/**
	 * Read a post while it is free, and give it a price: what a page cache has of it now costs.
	 *
	 * @return Surface[]
	 */
	private function late( Sample $sample ): array {
		$this->canaries[] = $sample->secret;
		$list             = Surfaces::of_late( $sample );
		foreach ( $list as $surface ) {
			$this->ask( $surface->url, $surface->args );
		}
		Canary::charge( $sample );
		return $list;
	}

	/** Ask for one surface and judge the answer. */
	private function look( Surface $surface ): Result {
		if ( $this->silent >= self::PATIENCE || microtime( true ) > $this->deadline ) {
			return new Result( $surface, Result::UNKNOWN, 0, __( 'Not asked: the site does not answer, or the time was over.', 'bitcache' ) );
		}
		$answer = $this->ask( $surface->url, $surface->args );
		if ( is_wp_error( $answer ) ) {
			++$this->silent;
			return new Result( $surface, Result::UNKNOWN, 0, $answer->get_error_message() );
		}
		$this->silent = 0;
		$result       = $this->judge( $surface, $answer );
		if ( Result::RED === $result->state && '' !== $surface->blank && $this->is_shown_anyway( $surface ) ) {
			return new Result( $surface, Result::GREEN, $result->status, '' );
		}
		return $result;
	}

	/**
	 * Ask as a stranger.
	 *
	 * @param string $url  address.
	 * @param array  $args for `wp_remote_request`.
	 * @return array|\WP_Error
	 */
	private function ask( string $url, array $args ) {
		$args           += array(
			'method'      => 'GET',
			'timeout'     => self::LIMIT,
			'redirection' => 3,
			'cookies'     => array(),
			'user-agent'  => 'Mozilla/5.0 (Bitcache leak test)',
			'sslverify'   => apply_filters( 'https_local_ssl_verify', false ), // phpcs:ignore -- WordPress' own.
		);
		$headers         = isset( $args['headers'] ) ? $args['headers'] : array();
		$args['headers'] = $headers + array( Canary::HEADER => $this->token );
		return wp_remote_request( $url, $args );
	}

	/** Say whether a surface shows what it may not find also to who looks for something else. */
	private function is_shown_anyway( Surface $surface ): bool {
		$answer = $this->ask( $surface->blank, $surface->args );
		$body   = is_wp_error( $answer ) ? '' : (string) wp_remote_retrieve_body( $answer );
		foreach ( $surface->forbidden as $word ) {
			if ( $this->holds( $body, $word ) ) {
				return true;
			}
		}
		return false;
	}

	/**
	 * Judge an answer.
	 *
	 * @param Surface $surface where it is from.
	 * @param array   $answer  of `wp_remote_request`.
	 */
	private function judge( Surface $surface, array $answer ): Result {
		$status = (int) wp_remote_retrieve_response_code( $answer );
		$body   = (string) wp_remote_retrieve_body( $answer );
		$heads  = wp_remote_retrieve_headers( $answer );
		$lines  = is_object( $heads ) && method_exists( $heads, 'getAll' ) ? $heads->getAll() : (array) $heads;
		$text   = $body . "\n" . (string) wp_json_encode( $lines );
		foreach ( $surface->forbidden ? $surface->forbidden : $this->canaries as $word ) {
			if ( $this->holds( $text, $word ) ) {
				return new Result( $surface, Result::RED, $status, Advice::mend( $surface->group ) );
			}
		}
		if ( $surface->sealed && 200 <= $status && $status < 300 && '' !== $body && $this->is_picture( $body ) ) {
			return new Result( $surface, Result::RED, $status, Advice::mend( $surface->group ) );
		}
		if ( $status >= 500 ) {
			return new Result( $surface, Result::UNKNOWN, $status, __( 'The site answered with an error.', 'bitcache' ) );
		}
		if ( in_array( $status, array( 404, 410 ), true ) && 'file' !== $surface->group ) {
			return new Result( $surface, Result::ABSENT, $status, __( 'This site has no such page.', 'bitcache' ) );
		}
		if ( '' !== $surface->control && false === strpos( $body, $surface->control ) ) {
			return new Result( $surface, Result::ABSENT, $status, __( 'The test post was not in the answer.', 'bitcache' ) );
		}
		return new Result( $surface, Result::GREEN, $status, '' );
	}

	/** Say whether a text holds a word, also in pieces that are encoded. */
	private function holds( string $text, string $word ): bool {
		if ( false !== stripos( $text, $word ) ) {
			return true;
		}
		foreach ( array( 0, 1, 2 ) as $offset ) {
			$coded = base64_encode( substr( $word, $offset, 12 ) ); // phpcs:ignore -- to find it, not to hide it.
			if ( false !== strpos( $text, $coded ) ) {
				return true;
			}
		}
		return false;
	}

	/** Say whether bytes are a picture. */
	private function is_picture( string $body ): bool {
		return 0 === strncmp( $body, "\x89PNG", 4 ) || 0 === strncmp( $body, "\xff\xd8\xff", 3 ) || 'WEBP' === substr( $body, 8, 4 );
	}
}
