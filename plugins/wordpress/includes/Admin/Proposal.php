<?php
/**
 * What the server's page proposes to a merchant who connects this site.
 *
 * @package Bitcache
 */

namespace Bitcache\Admin;

use Bitcache\Server\Connection;
use Bitcache\Server\Health;

/**
 * Sites of a network that share a host are told apart by it. The merchant sees and may change it.
 */
final class Proposal {

	/** As much of the site's title goes along, in characters. */
	const MAX_TITLE = 60;

	/** And of its path, in bytes. */
	const MAX_PATH = 200;

	/**
	 * Return a name and an address for a new site, and the site that this was before.
	 *
	 * @return array<string, string>
	 */
	public static function fields(): array {
		$told = array(
			'site_title'    => self::title(),
			'site_url'      => Health::origin() . self::path( home_url( '/' ) ),
			'site'          => Connection::site_id(),
			'shares_origin' => self::shares_host() ? '1' : '',
		);
		return array_filter( $told, 'strlen' );
	}

	/** Return the site's title on one line, not too long; "" for none. */
	public static function title(): string {
		$title = (string) preg_replace( '/[[:cntrl:]]+/', ' ', wp_specialchars_decode( get_bloginfo( 'name' ), ENT_QUOTES ) );
		return trim( mb_substr( trim( $title ), 0, self::MAX_TITLE ) );
	}

	/** Say whether the network has other sites on this host. */
	private static function shares_host(): bool {
		if ( ! is_multisite() ) {
			return false;
		}
		$domain = (string) get_site()->domain;
		return 1 < (int) get_sites(
			array(
				'domain' => $domain,
				'count'  => true,
			)
		);
	}

	/**
	 * Return the path of an address as browsers write it; "/" for one that is too long.
	 *
	 * @param string $url of the front page.
	 */
	private static function path( string $url ): string {
		$path = (string) preg_replace_callback(
			'/[^A-Za-z0-9._~\/%-]/',
			static function ( array $found ): string {
				return rawurlencode( $found[0] );
			},
			(string) wp_parse_url( $url, PHP_URL_PATH )
		);
		return '' === $path || strlen( $path ) > self::MAX_PATH ? '/' : $path;
	}
}
