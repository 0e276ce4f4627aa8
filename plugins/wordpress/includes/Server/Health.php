<?php
/**
 * Whether the connection works, and what went wrong last.
 *
 * @package Bitcache
 */

namespace Bitcache\Server;

use Bitcache\Settings;

/**
 * Asks the server once an hour, and when somebody looks; remembers what it found.
 *
 * The same look brings new grant keys, so that a site whose keys are changed on the server goes
 * on checking grants by itself.
 */
final class Health {

	const OPTION = 'bitcache_health';

	/** Clocks that differ by more than this make grants begin or end at the wrong time, in seconds. */
	const MAX_SKEW_S = 30;

	/** After an answer of "nobody there" calls that can wait do wait, in seconds. */
	const REST_S = 60;

	/** Attach every hook. */
	public function register(): void {
		add_action( 'bitcache_refresh', array( $this, 'look' ), 5 );
	}

	/** Ask the server who we are, and remember the answer. Never throws. */
	public function look(): void {
		if ( ! Connection::is_connected() ) {
			return;
		}
		$client = new Client();
		$found  = array( 'at' => time() );
		try {
			Discovery::refresh( $client );
			$site  = $client->site( Connection::api_url(), Connection::secret() );
			$found = array(
				'at'      => time(),
				'skew'    => $client->server_now() ? time() - $client->server_now() : 0,
				'origins' => self::texts( $site['origins'] ?? array() ),
				'site'    => (string) ( $site['id'] ?? '' ),
			);
			Connection::save_keys( self::texts( $site['grant_keys'] ?? array() ) );
			Connection::save_facts( array( 'site_name' => (string) ( $site['name'] ?? '' ) ) );
		} catch ( ServerError $error ) {
			$found['failed'] = $error->code_name;
			self::note( $error, 'look' );
		}
		// What an earlier look found is not kept beside what this one found.
		$kept = array_intersect_key( self::stored(), array( 'last' => 1 ) + ( isset( $found['failed'] ) ? array( 'rest' => 1 ) : array() ) );
		update_option( self::OPTION, $found + $kept, false );
	}

	/**
	 * Remember what went wrong, for the settings page.
	 *
	 * @param ServerError $error what the server said.
	 * @param string      $doing what was tried: one of those in `last`.
	 * @param string      $title of the post that it was about; "" for none.
	 */
	public static function note( ServerError $error, string $doing, string $title = '' ): void {
		$last = array(
			'at'     => time(),
			'code'   => $error->code_name,
			'detail' => $error->getMessage(),
			'doing'  => $doing,
			'title'  => $title,
		);
		$rest = 'no_answer' === $error->code_name ? time() + self::REST_S : 0;
		update_option(
			self::OPTION,
			array(
				'last' => $last,
				'rest' => $rest,
			) + self::stored(),
			false
		);
	}

	/** Forget everything: it was about another connection. */
	public static function forget(): void {
		delete_option( self::OPTION );
	}

	/** Say whether the server was silent a moment ago, so that what can wait should. */
	public static function is_resting(): bool {
		return time() < (int) ( self::stored()['rest'] ?? 0 );
	}

	/** The server has answered: what waited need not wait any longer. */
	public static function answered(): void {
		if ( self::is_resting() ) {
			update_option( self::OPTION, array( 'rest' => 0 ) + self::stored(), false );
		}
	}

	/** Return when the connection was last looked at, in Unix seconds; 0 for never. */
	public static function looked_at(): int {
		return (int) ( self::stored()['at'] ?? 0 );
	}

	/**
	 * Return what went wrong last, or nothing; what was tried is in the language of who reads it.
	 *
	 * @return array{at: int, code: string, detail: string, doing: string}|array{}
	 */
	public static function last(): array {
		$last = self::stored()['last'] ?? array();
		if ( ! is_array( $last ) || ! isset( $last['doing'] ) ) {
			return array();
		}
		$words = array(
			'look'     => __( 'Looking whether the connection works', 'bitcache' ),
			'sales'    => __( 'Asking what was sold', 'bitcache' ),
			'keys'     => __( 'Asking for the keys of grants', 'bitcache' ),
			/* translators: %s: the title of a post */
			'offer'    => __( 'Telling the server of “%s”', 'bitcache' ),
			/* translators: %s: the title of a post */
			'withdraw' => __( 'Taking “%s” off sale', 'bitcache' ),
		);
		$doing = sprintf( $words[ $last['doing'] ] ?? '%s', $last['title'] ?? '' );
		return compact( 'doing' ) + $last;
	}

	/**
	 * Return what was found, in words: each with `state` (good, bad, unknown), `name` and `words`.
	 *
	 * @return array<int, array{state: string, name: string, words: string}>
	 */
	public static function words(): array {
		$seen   = self::stored();
		$failed = (string) ( $seen['failed'] ?? '' );
		if ( empty( $seen['at'] ) ) {
			return array( self::line( 'unknown', __( 'Server', 'bitcache' ), __( 'Not looked at yet.', 'bitcache' ) ) );
		}
		$silent = in_array( $failed, array( 'no_answer', 'no_bitcache', Discovery::ELSEWHERE, Discovery::TOO_OLD ), true );
		$error  = new ServerError( $failed, (string) ( self::last()['detail'] ?? '' ) );
		$lines  = array(
			$silent
				? self::line( 'bad', __( 'Server', 'bitcache' ), Discovery::words( $error ) . ' ' . __( 'Readers see the teaser; those who have paid go on reading.', 'bitcache' ) )
				: self::line( 'good', __( 'Server', 'bitcache' ), __( 'It answers.', 'bitcache' ) ),
		);
		if ( $silent ) {
			return $lines;
		}
		if ( '' !== $failed ) {
			$lines[] = self::line( 'bad', __( 'Secret', 'bitcache' ), $error->words() );
			return $lines;
		}
		$lines[] = self::line( 'good', __( 'Secret', 'bitcache' ), __( 'The server accepts it.', 'bitcache' ) );
		$lines[] = self::origin_line( $seen );
		$lines[] = self::clock_line( $seen );
		$lines[] = self::currency_line();
		return $lines;
	}

	/** Return the origin that this site's pages have, as browsers write it. */
	public static function origin(): string {
		return Discovery::origin_of( home_url( '/' ) );
	}

	/**
	 * @param array<string, mixed> $seen as it is stored.
	 * @return array{state: string, name: string, words: string}
	 */
	private static function origin_line( array $seen ): array {
		$name = __( 'Address of this site', 'bitcache' );
		if ( in_array( self::origin(), (array) ( $seen['origins'] ?? array() ), true ) ) {
			/* translators: %s: an address such as https://blog.example */
			return self::line( 'good', $name, sprintf( __( 'The server knows %s.', 'bitcache' ), self::origin() ) );
		}
		/* translators: %s: an address such as https://blog.example */
		return self::line( 'bad', $name, sprintf( __( 'The server does not know %s, so readers could not pay. Add it to the site’s addresses on the merchant’s page, or connect again.', 'bitcache' ), self::origin() ) );
	}

	/**
	 * @param array<string, mixed> $seen as it is stored.
	 * @return array{state: string, name: string, words: string}
	 */
	private static function clock_line( array $seen ): array {
		$skew = (int) ( $seen['skew'] ?? 0 );
		if ( abs( $skew ) <= self::MAX_SKEW_S ) {
			return self::line( 'good', __( 'Clock', 'bitcache' ), __( 'The same as the server’s.', 'bitcache' ) );
		}
		$words = $skew > 0
			/* translators: %s: a time such as "2 mins" */
			? __( 'This site’s clock is %s ahead of the server’s. Ask your host to set it: purchases would end too early.', 'bitcache' )
			/* translators: %s: a time such as "2 mins" */
			: __( 'This site’s clock is %s behind the server’s. Ask your host to set it: purchases would end too late.', 'bitcache' );
		return self::line( 'bad', __( 'Clock', 'bitcache' ), sprintf( $words, human_time_diff( 0, abs( $skew ) ) ) );
	}

	/** @return array{state: string, name: string, words: string} */
	private static function currency_line(): array {
		$currency = Settings::get()['default_currency'];
		if ( in_array( $currency, Connection::currencies(), true ) ) {
			/* translators: %s: a currency such as EUR */
			return self::line( 'good', __( 'Prices', 'bitcache' ), sprintf( __( 'The server takes prices in %s.', 'bitcache' ), $currency ) );
		}
		/* translators: %s: a currency such as EUR */
		return self::line( 'bad', __( 'Prices', 'bitcache' ), sprintf( __( 'The server takes no prices in %s. Choose another currency below.', 'bitcache' ), $currency ) );
	}

	/** @return array{state: string, name: string, words: string} */
	private static function line( string $state, string $name, string $words ): array {
		return array(
			'state' => $state,
			'name'  => $name,
			'words' => $words,
		);
	}

	/**
	 * @param mixed $list what should be a list of texts.
	 * @return string[]
	 */
	private static function texts( $list ): array {
		return is_array( $list ) ? array_values( array_filter( $list, 'is_string' ) ) : array();
	}

	/** @return array<string, mixed> */
	private static function stored(): array {
		$stored = get_option( self::OPTION, array() );
		return is_array( $stored ) ? $stored : array();
	}
}
