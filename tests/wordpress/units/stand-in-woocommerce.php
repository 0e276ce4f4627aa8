<?php
/**
 * Thin stand-ins for WooCommerce's classes: WooCommerce itself cannot be had from the registries
 * that the tests install from. They keep what the gateway calls and nothing else.
 */

class WC_Order_Item {
	public $name;
	public $quantity;
	public $total;
	public $tax;
	public function __construct( $name, $quantity, $total, $tax = '0' ) {
		$this->name     = $name;
		$this->quantity = $quantity;
		$this->total    = $total;
		$this->tax      = $tax;
	}
	public function get_name() {
		return $this->name;
	}
	public function get_quantity() {
		return $this->quantity;
	}
	public function get_total() {
		return $this->total;
	}
	public function get_total_tax() {
		return $this->tax;
	}
}

class WC_Order {
	/** @var array<int, WC_Order> */
	public static $all = array();

	public $id;
	public $status   = 'pending';
	public $currency = 'EUR';
	public $total;
	public $tax      = '0';
	public $items    = array();
	public $meta     = array();
	public $notes    = array();
	public $refunded = 0.0;
	public $method   = 'bitcache';
	public $payment  = '';
	/** @var string[] ids of payments, each time that it was completed. */
	public $completed = array();

	public function __construct( int $id, string $total, array $items = array() ) {
		$this->id         = $id;
		$this->total      = $total;
		$this->items      = $items;
		self::$all[ $id ] = $this;
	}
	public function get_id() {
		return $this->id;
	}
	public function get_order_number() {
		return (string) $this->id;
	}
	public function get_order_key() {
		return 'wc_order_key';
	}
	public function get_total() {
		return $this->total;
	}
	public function get_total_tax() {
		return $this->tax;
	}
	public function get_total_refunded() {
		return $this->refunded;
	}
	public function get_remaining_refund_amount() {
		return (string) round( $this->total - $this->refunded, 2 );
	}
	public function get_currency() {
		return $this->currency;
	}
	public function get_payment_method() {
		return $this->method;
	}
	public function set_payment_method( $gateway ) {
		$this->method = is_object( $gateway ) ? $gateway->id : $gateway;
	}
	public function get_transaction_id() {
		return $this->payment;
	}
	public function set_transaction_id( $id ) {
		$this->payment = $id;
	}
	public function get_items( $types = 'line_item' ) {
		return $this->items;
	}
	/** Its nonce is another one in each session. */
	public function get_cancel_order_url_raw() {
		return home_url( '/cart/?cancel_order=true&_wpnonce=' . bin2hex( random_bytes( 5 ) ) );
	}
	public function get_checkout_payment_url() {
		return home_url( '/checkout/order-pay/' . $this->id . '/?pay_for_order=true&key=wc_order_key' );
	}
	public function get_meta( $name ) {
		return $this->meta[ $name ] ?? '';
	}
	public function update_meta_data( $name, $value ) {
		$this->meta[ $name ] = $value;
	}
	public function save() {}
	public function has_status( $status ) {
		return in_array( $this->status, (array) $status, true );
	}
	public function get_status() {
		return $this->status;
	}
	public function is_paid() {
		return in_array( $this->status, array( 'processing', 'completed' ), true );
	}
	/** As WooCommerce does, it says nothing of a state that the order has already. */
	public function update_status( $status, $note = '' ) {
		if ( $status !== $this->status ) {
			$this->status  = $status;
			$this->notes[] = $note;
		}
		return true;
	}
	public function add_order_note( $note ) {
		$this->notes[] = $note;
	}
	public function payment_complete( $transaction = '' ) {
		if ( $this->has_status( array( 'on-hold', 'pending', 'failed', 'cancelled' ) ) ) {
			$this->completed[] = $transaction;
			$this->payment     = $transaction;
			$this->status      = 'processing';
		}
		return true;
	}
}

class WC_Payment_Gateway {
	public $id;
	public $method_title;
	public $method_description;
	public $has_fields;
	public $supports    = array();
	public $form_fields = array();
	public $title;
	public $description;
	/** @var array<string, string> */
	public static $stored = array();
	public function init_settings() {}
	public function get_option( $name ) {
		return self::$stored[ $name ] ?? ( $this->form_fields[ $name ]['default'] ?? '' );
	}
	public function is_available() {
		return 'yes' === $this->get_option( 'enabled' );
	}
	public function get_return_url( $order = null ) {
		return home_url( '/checkout/order-received/' . $order->get_id() . '/?key=wc_order_key' );
	}
	public function get_title() {
		return $this->title;
	}
	public function process_admin_options() {}
}

/** The customer's basket. */
final class Stand_In_Cart {
	/** @var int how often it was emptied. */
	public $emptied = 0;
	public function empty_cart() {
		++$this->emptied;
	}
}

function WC() {
	static $shop = null;
	$shop        = $shop ?? (object) array( 'cart' => new Stand_In_Cart() );
	return $shop;
}

/** What the shop told the customer. */
final class Stand_In_Notices {
	/** @var string[] */
	public static $all = array();
}

function wc_add_notice( $words, $kind ) {
	Stand_In_Notices::$all[] = $words;
}
function get_woocommerce_currency() {
	return Stand_In::$options['woocommerce_currency'] ?? 'EUR';
}
function wc_get_order( $id ) {
	return WC_Order::$all[ $id ] ?? false;
}
function wc_get_orders( $query ) {
	$found = array();
	foreach ( WC_Order::$all as $order ) {
		if (
			( ! isset( $query['meta_key'] ) || $order->get_meta( $query['meta_key'] ) === $query['meta_value'] )
			&& ( ! isset( $query['status'] ) || $order->has_status( $query['status'] ) )
			&& $order->get_payment_method() === $query['payment_method']
		) {
			$found[] = 'ids' === ( $query['return'] ?? '' ) ? $order->get_id() : $order;
		}
	}
	return $found;
}
function wc_create_refund( $values ) {
	$order = wc_get_order( $values['order_id'] );
	if ( $values['amount'] > $order->get_remaining_refund_amount() ) {
		return new WP_Error( 'error', 'Invalid refund amount.' );
	}
	$order->refunded += $values['amount'];
	$order->status    = 'refunded';
	return $order;
}
