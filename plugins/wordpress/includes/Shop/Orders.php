<?php
/**
 * WooCommerce orders that are paid through Bitcache.
 *
 * @package Bitcache
 */

namespace Bitcache\Shop;

use Bitcache\Server\Client;
use Bitcache\Server\ServerError;

/**
 * Makes the server's order, and gives the shop's order the state that the server's has.
 *
 * Everything may happen twice and in any order: each method looks at what is there first.
 */
final class Orders {

	/** Meta of a shop's order: the server's id of it. */
	const META = '_bitcache_order';

	/** How often one content can be ordered anew after its time was over. */
	const ATTEMPTS = 20;

	/** @var Client */
	private $client;

	/**
	 * @param Client $client calls the server.
	 */
	public function __construct( Client $client ) {
		$this->client = $client;
	}

	/**
	 * Return where the customer pays. The same order, unchanged, has the same address.
	 *
	 * @param \WC_Order $order      which.
	 * @param string    $return_url where the customer goes back to.
	 * @throws ServerError When the server says no, or nothing.
	 */
	public function checkout_url( $order, string $return_url ): string {
		$currency = $order->get_currency();
		$wanted   = array(
			'currency'    => $currency,
			'lines'       => Lines::of( $order ),
			'total_minor' => Minor::of( $order->get_total(), $currency ),
			'return_url'  => $return_url,
			// Not the address that gives the order up: it changes with each session, and this must not.
			'cancel_url'  => $order->get_checkout_payment_url(),
			'metadata'    => array( 'order' => (string) $order->get_id() ),
		);
		// With another content, or after its time, it is another order for the server.
		for ( $attempt = 1; $attempt <= self::ATTEMPTS; $attempt++ ) {
			$mark                = substr( hash( 'sha256', wp_json_encode( $wanted['lines'] ) . $currency . $return_url . $attempt ), 0, 12 );
			$wanted['reference'] = self::reference( $order->get_id(), $mark );
			// The reference makes the call safe to repeat; a key would bring back the first answer.
			$made = $this->client->once( '/orders', $wanted, wp_generate_uuid4() );
			if ( ! in_array( $made['state'], array( 'expired', 'cancelled' ), true ) ) {
				break;
			}
		}
		$this->replace( $order, $made );
		$this->settle( $order, $made );
		return (string) $made['checkout_url'];
	}

	/**
	 * Ask the server what became of an order and take it over.
	 *
	 * @param \WC_Order $order which.
	 * @throws ServerError When the server says nothing.
	 */
	public function refresh( $order ): void {
		$id = (string) $order->get_meta( self::META );
		if ( '' !== $id ) {
			$this->settle( $order, $this->client->get( '/orders/' . rawurlencode( $id ) ) );
		}
	}

	/**
	 * Find the shop's order for one of the server's, or null for one that is not of this shop.
	 *
	 * @param string $reference as the server has it.
	 * @return \WC_Order|null
	 */
	public static function find( string $reference ) {
		if ( ! preg_match( '/\Awc-(\d+)-(\d+)-[0-9a-f]{12}\z/', $reference, $found ) || (int) $found[1] !== get_current_blog_id() ) {
			return null;
		}
		$order = wc_get_order( (int) $found[2] );
		return $order instanceof \WC_Order ? $order : null;
	}

	/**
	 * Find the shop's order by what its invoices sell, or null.
	 *
	 * @param string $item_id of the server.
	 * @return \WC_Order|null
	 */
	public static function find_by_item( string $item_id ) {
		$found = '' === $item_id ? array() : wc_get_orders(
			array(
				'payment_method' => WooCommerce::GATEWAY,
				'meta_key'       => '_bitcache_item', // phpcs:ignore WordPress.DB.SlowDBQuery -- one order, by an id.
				'meta_value'     => $item_id, // phpcs:ignore WordPress.DB.SlowDBQuery -- see above.
				'limit'          => 1,
			)
		);
		return isset( $found[0] ) && $found[0] instanceof \WC_Order ? $found[0] : null;
	}

	/**
	 * Give the shop's order the state of the server's.
	 *
	 * @param \WC_Order            $order which.
	 * @param array<string, mixed> $view  `OrderView` of the API.
	 */
	public function settle( $order, array $view ): void {
		$current = $view['id'] === $order->get_meta( self::META );
		switch ( $view['state'] ) {
			case 'paid':
				$this->paid( $order, $view );
				break;
			case 'expired':
			case 'cancelled':
				if ( $current && $order->has_status( 'pending' ) ) {
					$order->update_status( 'cancelled', __( 'It was not paid in time.', 'bitcache' ) );
				}
				break;
			case 'open':
				$this->reopened( $order, $view );
				break;
			case 'refunded':
				$this->refunded( $order, $view );
				break;
		}
	}

	/**
	 * Tell of money that did not pay the order.
	 *
	 * @param \WC_Order $order   which.
	 * @param string    $type    of the event: `invoice.underpaid` or `invoice.credited`.
	 * @param string    $invoice the invoice's id.
	 */
	public function note_money( $order, string $type, string $invoice ): void {
		$this->note_once(
			$order,
			$type . '_' . $invoice,
			'invoice.underpaid' === $type
				? __( 'Bitcoin came, but too little. The checkout page asks the customer for the rest.', 'bitcache' )
				: __( 'Bitcoin came late, twice, or too much. It is the customer’s credit.', 'bitcache' )
		);
	}

	/**
	 * Add a note to an order, however often it is told, and save the order.
	 *
	 * @param \WC_Order $order which.
	 * @param string    $what  names the note.
	 * @param string    $words of the note.
	 */
	private function note_once( $order, string $what, string $words ): void {
		if ( ! $order->get_meta( '_bitcache_' . $what ) ) {
			$order->update_meta_data( '_bitcache_' . $what, '1' );
			$order->add_order_note( $words );
		}
		$order->save();
	}

	/**
	 * The reference that the server's order has.
	 *
	 * @param int    $order_id of the shop.
	 * @param string $mark     changes with what is bought.
	 */
	private static function reference( int $order_id, string $mark ): string {
		return 'wc-' . get_current_blog_id() . '-' . $order_id . '-' . $mark;
	}

	/**
	 * Remember the server's order and give up the one before, which has another content.
	 *
	 * @param \WC_Order            $order which.
	 * @param array<string, mixed> $made  `OrderView` of the API.
	 */
	private function replace( $order, array $made ): void {
		$id     = (string) $made['id'];
		$before = (string) $order->get_meta( self::META );
		if ( $before === $id ) {
			return;
		}
		$order->update_meta_data( self::META, $id );
		$order->update_meta_data( '_bitcache_item', (string) $made['item'] );
		$order->save();
		if ( '' !== $before ) {
			try {
				$this->client->once( '/orders/' . rawurlencode( $before ) . '/cancel', array(), 'cancel-' . $before );
			} catch ( ServerError $error ) {
				// It ends by itself; money that reaches it meanwhile is told of by an event.
				unset( $error );
			}
		}
	}

	/**
	 * The order is paid, once. What the shop makes of it afterwards is the shop's.
	 *
	 * @param \WC_Order            $order which.
	 * @param array<string, mixed> $view  `OrderView` of the API.
	 */
	private function paid( $order, array $view ): void {
		$before = (string) $order->get_transaction_id();
		if ( $before === $view['id'] || ! Claim::take( $view['id'] ) ) {
			return;
		}
		$by_others = '' !== $before || WooCommerce::GATEWAY !== $order->get_payment_method();
		if ( $by_others && ( $order->is_paid() || $order->has_status( 'refunded' ) ) ) {
			/* translators: %s: the server's id of an order. */
			$this->note_once( $order, 'again_' . $view['id'], sprintf( __( 'Bitcoin was paid as well (%s), and the order had been paid before. Give one of the two back.', 'bitcache' ), $view['id'] ) );
			return;
		}
		if ( $by_others ) {
			$order->set_payment_method( new Gateway() );
		}
		$order->update_meta_data( self::META, $view['id'] );
		$order->update_meta_data( '_bitcache_amount_msat', (string) $view['amount_msat'] );
		$order->update_meta_data( '_bitcache_holder', (string) $view['holder'] );
		$order->update_meta_data( '_bitcache_item', (string) $view['item'] );
		$this->complete( $order, $view );
	}

	/**
	 * Let the shop know of a payment, and of one that it cannot take as it is.
	 *
	 * @param \WC_Order            $order which; its fields are set, and not saved.
	 * @param array<string, mixed> $view  `OrderView` of the API.
	 */
	private function complete( $order, array $view ): void {
		$currency = $order->get_currency();
		if ( $view['currency'] !== $currency || Minor::of( $order->get_total(), $currency ) !== $view['total_minor'] ) {
			$order->set_transaction_id( $view['id'] );
			$order->update_status( 'on-hold', __( 'Bitcoin was paid for an earlier content of this order. Compare the amounts.', 'bitcache' ) );
			return;
		}
		$order->save();
		// It does nothing to an order in the trash, or with a state of another plugin.
		$order->payment_complete( $view['id'] );
		if ( ! $order->is_paid() ) {
			$order->set_transaction_id( $view['id'] );
			$this->note_once( $order, 'paid_' . $view['id'], __( 'Bitcoin was paid for this order. Its state was left as it is.', 'bitcache' ) );
		} elseif ( $order->get_transaction_id() !== $view['id'] ) {
			// Somebody had marked it as paid by hand.
			$order->set_transaction_id( $view['id'] );
			$order->save();
		}
	}

	/**
	 * The server waits for money: if it had some before, that has vanished.
	 *
	 * @param \WC_Order            $order which.
	 * @param array<string, mixed> $view  `OrderView` of the API.
	 */
	private function reopened( $order, array $view ): void {
		if ( $order->get_transaction_id() !== $view['id'] ) {
			return;
		}
		$order->set_transaction_id( '' );
		Claim::give_back( $view['id'] );
		$words = __( 'Its bitcoin payment vanished from the chain. Do not ship; it can be paid again.', 'bitcache' );
		if ( $order->is_paid() ) {
			$order->update_status( 'on-hold', $words );
		} else {
			$order->add_order_note( $words );
			$order->save();
		}
	}

	/**
	 * The order was given back on the server's side.
	 *
	 * @param \WC_Order            $order which.
	 * @param array<string, mixed> $view  `OrderView` of the API.
	 */
	private function refunded( $order, array $view ): void {
		$rest = (float) $order->get_remaining_refund_amount();
		// Not what else has paid the order; but nobody need have told of the payment.
		$by_this = in_array( $order->get_transaction_id(), array( $view['id'], '' ), true ) && WooCommerce::GATEWAY === $order->get_payment_method();
		if ( $rest <= 0 || ! $by_this || $view['id'] !== $order->get_meta( self::META ) ) {
			return;
		}
		$made = wc_create_refund(
			array(
				'order_id'       => $order->get_id(),
				'amount'         => $order->get_remaining_refund_amount(),
				'reason'         => __( 'Given back in Bitcache.', 'bitcache' ),
				'refund_payment' => false,
			)
		);
		if ( is_wp_error( $made ) ) {
			$this->note_once( $order, 'refund_' . $view['id'], __( 'Given back in Bitcache.', 'bitcache' ) . ' ' . $made->get_error_message() );
		}
	}
}
