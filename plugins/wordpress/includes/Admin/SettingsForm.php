<?php
/**
 * The form of the settings page: prices, look, and the rest.
 *
 * @package Bitcache
 */

namespace Bitcache\Admin;

use Bitcache\Files\Handover;
use Bitcache\Server\Connection;
use Bitcache\Settings;

/**
 * Prints markup; changes nothing.
 */
final class SettingsForm {

	/**
	 * Print the form.
	 *
	 * @param array<string, mixed> $now settings as they are.
	 */
	public function show( array $now ): void {
		printf( '<form method="post" action="%s" id="bitcache-form">', esc_url( admin_url( 'admin-post.php' ) ) );
		echo '<input type="hidden" name="action" value="bitcache_save">';
		wp_nonce_field( 'bitcache_save' );
		$this->prices( $now );
		$this->rules( $now['rules'] );
		$this->look( $now['look'], $now );
		$this->rest( $now );
		submit_button( __( 'Save', 'bitcache' ), 'primary', '', true, array( 'id' => 'bitcache-save' ) );
		echo '</form>';
	}

	/**
	 * Print the default price, and where it holds.
	 *
	 * @param array<string, mixed> $now settings as they are.
	 */
	private function prices( array $now ): void {
		self::begins( 'prices', __( 'Default price', 'bitcache' ) );
		echo '<p class="description" id="bitcache-price-help">' . esc_html__( 'Leave it empty, and only what you price costs something: in the sidebar of a post, or with the block “Paywall”. Categories and authors can have their own price, on their own pages.', 'bitcache' ) . '</p>';
		echo '<div class="bitcache-fields"><p><label for="bitcache-price">' . esc_html__( 'Price', 'bitcache' ) . '</label>';
		printf( '<input type="text" inputmode="decimal" id="bitcache-price" name="bitcache[default_price]" value="%s" size="8" autocomplete="off" aria-describedby="bitcache-price-help">', esc_attr( $now['default_price'] ) );
		echo '</p><p><label for="bitcache-currency">' . esc_html__( 'Currency', 'bitcache' ) . '</label>';
		echo '<select id="bitcache-currency" name="bitcache[default_currency]">';
		$codes = array_values( array_unique( array_merge( array( $now['default_currency'] ), Connection::currencies() ) ) );
		sort( $codes );
		foreach ( $codes as $code ) {
			printf( '<option value="%1$s"%2$s>%3$s</option>', esc_attr( $code ), selected( $code, $now['default_currency'], false ), esc_html( 'SAT' === $code ? __( 'SAT (satoshi)', 'bitcache' ) : $code ) );
		}
		echo '</select></p></div>';
		$types = array();
		foreach ( get_post_types( array( 'public' => true ), 'objects' ) as $type ) {
			if ( 'attachment' !== $type->name ) {
				$types[ $type->name ] = $type->labels->name;
			}
		}
		self::boxes( __( 'It holds for', 'bitcache' ), 'bitcache[default_types][]', $types, $now['default_types'] );
		echo '</section>';
	}

	/**
	 * Print who reads for nothing.
	 *
	 * @param array<string, mixed> $rules as they are.
	 */
	private function rules( array $rules ): void {
		self::begins( 'rules', __( 'Free for', 'bitcache' ) );
		echo '<p class="description">' . esc_html__( 'Zero switches a rule off. Each post can have its own.', 'bitcache' ) . '</p>';
		echo '<div class="bitcache-fields">';
		$names = array(
			'free_paragraphs' => __( 'The first paragraphs (where a post has no mark of its own)', 'bitcache' ),
			'free_readers'    => __( 'The first readers', 'bitcache' ),
			'free_after_days' => __( 'Everybody, after so many days', 'bitcache' ),
		);
		foreach ( $names as $name => $label ) {
			printf(
				'<p><label for="bitcache-%1$s">%2$s</label><input type="number" min="0" step="1" inputmode="numeric" id="bitcache-%1$s" name="bitcache[rules][%1$s]" value="%3$d" class="small-text"></p>',
				esc_attr( $name ),
				esc_html( $label ),
				(int) $rules[ $name ]
			);
		}
		echo '</div>';
		$roles = array_map( 'translate_user_role', wp_roles()->get_names() );
		self::boxes( __( 'Who is logged in as', 'bitcache' ), 'bitcache[rules][free_roles][]', $roles, $rules['free_roles'] );
		echo '</section>';
	}

	/**
	 * Print the look, with a wall that changes at once.
	 *
	 * @param array<string, mixed> $look as it is.
	 * @param array<string, mixed> $now  all settings.
	 */
	private function look( array $look, array $now ): void {
		self::begins( 'look', __( 'Look of the wall', 'bitcache' ) );
		echo '<div class="bitcache-look"><div class="bitcache-fields">';
		echo '<p><label for="bitcache-theme">' . esc_html__( 'Light or dark', 'bitcache' ) . '</label><select id="bitcache-theme" name="bitcache[look][theme]">';
		$themes = array(
			'auto'  => __( 'As the page around it', 'bitcache' ),
			'light' => __( 'Light', 'bitcache' ),
			'dark'  => __( 'Dark', 'bitcache' ),
		);
		foreach ( $themes as $value => $label ) {
			printf( '<option value="%1$s"%2$s>%3$s</option>', esc_attr( $value ), selected( $value, $look['theme'], false ), esc_html( $label ) );
		}
		echo '</select></p><p>';
		printf( '<label><input type="checkbox" id="bitcache-own-accent" name="bitcache[look][own_accent]" value="1"%s> %s</label>', checked( '' !== $look['accent'], true, false ), esc_html__( 'A colour of my own', 'bitcache' ) );
		printf( '<input type="color" id="bitcache-accent" name="bitcache[look][accent]" value="%s" aria-label="%s">', esc_attr( '' === $look['accent'] ? '#b4470d' : $look['accent'] ), esc_attr__( 'Colour of the button', 'bitcache' ) );
		echo '</p><p><label for="bitcache-radius">' . esc_html__( 'Round corners', 'bitcache' ) . '</label>';
		printf( '<input type="range" min="0" max="%1$d" step="1" id="bitcache-radius" name="bitcache[look][radius]" value="%2$d"> <output for="bitcache-radius">%2$d px</output></p>', (int) Settings::MAX_RADIUS, (int) $look['radius'] );
		echo '<p><label for="bitcache-notice">' . esc_html__( 'A line of your own above the wall', 'bitcache' ) . '</label>';
		printf( '<input type="text" id="bitcache-notice" name="bitcache[notice]" value="%s" maxlength="300" class="regular-text"></p></div>', esc_attr( $now['notice'] ) );
		$this->preview( $look, $now );
		echo '</div></section>';
	}

	/**
	 * Print a picture of the wall: nothing in it can be pressed, and no server is asked.
	 *
	 * @param array<string, mixed> $look as it is.
	 * @param array<string, mixed> $now  all settings.
	 */
	private function preview( array $look, array $now ): void {
		$amount = '' === $now['default_price'] ? '0.05' : $now['default_price'];
		printf( '<figure class="bitcache-preview"><figcaption>%s</figcaption>', esc_html__( 'So it looks', 'bitcache' ) );
		printf( '<p class="bitcache-preview-notice">%s</p>', esc_html( $now['notice'] ) );
		printf(
			'<div id="bitcache-wall" role="img" aria-label="%1$s" data-theme="%2$s" style="%3$s">',
			esc_attr__( 'The wall as readers see it', 'bitcache' ),
			esc_attr( $look['theme'] ),
			esc_attr( Settings::look_css() )
		);
		echo '<h3>' . esc_html__( 'Read on', 'bitcache' ) . '</h3>';
		printf( '<p class="bitcache-wall-price"><strong>%s</strong> %s</p>', esc_html( $amount ), esc_html( $now['default_currency'] ) );
		echo '<span class="bitcache-wall-button is-primary">' . esc_html__( 'Read with one click', 'bitcache' ) . '</span>';
		echo '<span class="bitcache-wall-button">' . esc_html__( 'Pay with bitcoin', 'bitcache' ) . '</span>';
		echo '<span class="bitcache-wall-link">' . esc_html__( 'Already paid?', 'bitcache' ) . '</span></div></figure>';
	}

	/**
	 * Print what few people change.
	 *
	 * @param array<string, mixed> $now settings as they are.
	 */
	private function rest( array $now ): void {
		self::begins( 'rest', __( 'Search engines, files, data', 'bitcache' ) );
		self::box( 'crawlers', (bool) $now['crawlers'], __( 'Search engines read everything', 'bitcache' ), __( 'Only those that prove by their address who they are. What they read may appear in their results.', 'bitcache' ) );
		echo '<p><label for="bitcache-sendfile">' . esc_html__( 'Who sends sold files', 'bitcache' ) . '</label><select id="bitcache-sendfile" name="bitcache[sendfile]">';
		$ways = array(
			''           => __( 'WordPress (works everywhere)', 'bitcache' ),
			'x-sendfile' => __( 'Apache, with X-Sendfile', 'bitcache' ),
			'x-accel'    => __( 'nginx, with X-Accel-Redirect', 'bitcache' ),
		);
		foreach ( $ways as $value => $label ) {
			printf( '<option value="%1$s"%2$s>%3$s</option>', esc_attr( $value ), selected( $value, $now['sendfile'], false ), esc_html( $label ) );
		}
		printf( '</select><br><span class="description">%s</span></p>', esc_html( Handover::words() ) );
		self::box( 'keep_sales', (bool) $now['keep_sales'], __( 'Keep purchases when the plugin is deleted', 'bitcache' ), __( 'So that readers who have paid can read on when you install it again.', 'bitcache' ) );
		echo '</section>';
	}

	/**
	 * Print the beginning of a section.
	 *
	 * @param string $name  of it.
	 * @param string $title of it.
	 */
	private static function begins( string $name, string $title ): void {
		printf( '<section class="bitcache-card" aria-labelledby="bitcache-%1$s"><h2 id="bitcache-%1$s">%2$s</h2>', esc_attr( $name ), esc_html( $title ) );
	}

	/**
	 * Print one box to tick.
	 *
	 * @param string $name  of the setting.
	 * @param bool   $on    whether it is ticked.
	 * @param string $label of it.
	 * @param string $help  what it means.
	 */
	private static function box( string $name, bool $on, string $label, string $help ): void {
		printf(
			'<p><label><input type="checkbox" name="bitcache[%1$s]" value="1" aria-describedby="bitcache-%1$s-help"%2$s> %3$s</label><br><span class="description" id="bitcache-%1$s-help">%4$s</span></p>',
			esc_attr( $name ),
			checked( $on, true, false ),
			esc_html( $label ),
			esc_html( $help )
		);
	}

	/**
	 * Print boxes of which any can be ticked.
	 *
	 * @param string                $legend above them.
	 * @param string                $name   of the fields.
	 * @param array<string, string> $all    labels by values.
	 * @param string[]              $ticked values.
	 */
	private static function boxes( string $legend, string $name, array $all, array $ticked ): void {
		echo '<fieldset class="bitcache-boxes"><legend>' . esc_html( $legend ) . '</legend>';
		foreach ( $all as $value => $label ) {
			printf(
				'<label><input type="checkbox" name="%1$s" value="%2$s"%3$s> %4$s</label>',
				esc_attr( $name ),
				esc_attr( $value ),
				checked( in_array( (string) $value, $ticked, true ), true, false ),
				esc_html( $label )
			);
		}
		echo '</fieldset>';
	}
}
