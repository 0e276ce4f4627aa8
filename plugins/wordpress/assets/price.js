/* The block editor: a post's price, which the blocks and the panel show. Written without JSX, so that
 * what is read is what runs. */
( function ( wp, data ) {
	'use strict';

	const el = wp.element.createElement;
	const { __, sprintf } = wp.i18n;
	const { useDispatch, useSelect } = wp.data;
	const { SelectControl, TextControl } = wp.components;

	const AMOUNT = /^\d{1,9}([.,]\d{1,8})?$/;

	/** An amount as it is stored: a point, no spaces. */
	const amount = ( text ) => text.replace( /\s/g, '' ).replace( ',', '.' );

	const currencies = ( also ) =>
		[ ...new Set( [ ...data.currencies, also ] ) ].map( ( code ) => ( { label: code, value: code } ) );

	/** Two fields for one price. */
	function priceFields( { price, currency, placeholder, set } ) {
		const wrong = price !== '' && ! AMOUNT.test( price );
		return el(
			'div',
			{ className: 'bitcache-price' },
			el( TextControl, {
				label: __( 'Price', 'bitcache' ),
				value: price,
				placeholder,
				inputMode: 'decimal',
				help: wrong ? __( 'An amount such as 0.05.', 'bitcache' ) : undefined,
				onChange: ( text ) => set( { price: amount( text ) } ),
				__nextHasNoMarginBottom: true,
				__next40pxDefaultSize: true,
			} ),
			el( SelectControl, {
				label: __( 'Currency', 'bitcache' ),
				value: currency || data.currency,
				options: currencies( currency || data.currency ),
				onChange: ( code ) => set( { currency: code } ),
				__nextHasNoMarginBottom: true,
				__next40pxDefaultSize: true,
			} )
		);
	}

	/** The prices and rules of the post, and what changes them; nothing where no post is edited. */
	function usePost() {
		const meta = useSelect(
			( select ) => select( 'core/editor' ).getEditedPostAttribute( 'meta' ),
			[]
		);
		const { editPost } = useDispatch( 'core/editor' );
		return {
			meta: meta && meta._bitcache_price !== undefined ? meta : null,
			set: ( change ) => editPost( { meta: change } ),
		};
	}

	/** What the post costs, as people read it; "" for nothing. */
	const postPrice = ( meta ) =>
		meta._bitcache_price
			? meta._bitcache_price + ' ' + ( meta._bitcache_currency || data.currency )
			: data.default;

	function postPriceFields( meta, set ) {
		return priceFields( {
			price: meta._bitcache_price,
			currency: meta._bitcache_currency,
			placeholder: data.amount,
			set: ( { price, currency } ) =>
				set( {
					...( price === undefined ? {} : { _bitcache_price: price } ),
					...( currency === undefined ? {} : { _bitcache_currency: currency } ),
				} ),
		} );
	}

	/** What of the post is marked as paid: "post" for its own price, "part" for others, "" for nothing. */
	function useMarks() {
		return useSelect( ( select ) => {
			const { getBlockAttributes, getBlockName, getClientIdsWithDescendants } =
				select( 'core/block-editor' );
			const marks = getClientIdsWithDescendants().map( ( id ) => {
				const name = getBlockName( id );
				if ( name === 'bitcache/paid' ) {
					return getBlockAttributes( id ).price ? 'part' : 'post';
				}
				const shortcode =
					name === 'core/shortcode' &&
					/\[bitcache(_paywall)?\]/.test( getBlockAttributes( id ).text );
				return name === 'bitcache/paywall' || shortcode ? 'post' : '';
			} );
			return [ 'post', 'part' ].find( ( mark ) => marks.includes( mark ) ) || '';
		}, [] );
	}

	/** How the post is sold now, in one sentence. */
	function summary( meta, marks ) {
		if ( meta._bitcache_free ) {
			return __( 'This post is free.', 'bitcache' );
		}
		if ( meta._bitcache_price ) {
			/* translators: %s: a price, such as 0.05 USD. */
			return sprintf( __( 'Sold for %s.', 'bitcache' ), postPrice( meta ) );
		}
		if ( data.default ) {
			return sprintf(
				/* translators: %s: a price, such as 0.05 USD. */
				__( 'Sold for %s, the price of its category, author or site.', 'bitcache' ),
				data.default
			);
		}
		if ( marks === 'post' ) {
			return __( 'The paid part has no price yet: nobody can read or buy it.', 'bitcache' );
		}
		return marks
			? __( 'Only the parts that have a price cost something.', 'bitcache' )
			: __( 'No price: everybody reads all of it.', 'bitcache' );
	}

	window.bitcachePrice = { postPrice, postPriceFields, priceFields, summary, useMarks, usePost };
} )( window.wp, window.bitcacheEditor );
