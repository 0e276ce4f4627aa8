<?php
/**
 * Everything through which a post leaves the site.
 *
 * @package Bitcache
 */

namespace Bitcache\Surfaces;

/**
 * Attaches what withholds paid text, layer by layer.
 */
final class Surfaces {

	/** Attach every hook. */
	public function register(): void {
		$layers = array(
			new Data(),
			new Originals(),
			new Content(),
			new Blocks(),
			new Rest(),
			new Search(),
			new PublicText(),
			new Discovery(),
			new Crawlers(),
			new OtherPlugins(),
		);
		foreach ( $layers as $layer ) {
			$layer->register();
		}
	}
}
