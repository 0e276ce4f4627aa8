<?php
/**
 * Takes away what the plugin has made.
 *
 * Sales data (purchases, what the server knows of each post, sums) stays where the owner chose so
 * in the settings, so that readers keep what they bought when the plugin comes back. Posts are
 * never changed. Blocks and shortcodes in them stay as they are.
 *
 * @package Bitcache
 */

defined( 'WP_UNINSTALL_PLUGIN' ) || exit;

require_once __DIR__ . '/bitcache.php';

\Bitcache\Store\Remover::remove_all();
