/* The block editor: the blocks that are written here. */
( function ( wp, data, price ) {
	'use strict';

	const el = wp.element.createElement;
	const { Fragment, useEffect } = wp.element;
	const { __, sprintf } = wp.i18n;
	const { useDispatch, useSelect } = wp.data;
	const { InnerBlocks, InspectorControls, useBlockProps } = wp.blockEditor;
	const { PanelBody, TextControl, ToggleControl } = wp.components;
	const { postPrice, postPriceFields, priceFields, summary, usePost } = price;

	/** The divider of a post, with the price beside it: here is where one looks for it. */
	function Divider() {
		const { meta, set } = usePost();
		if ( ! meta || meta._bitcache_free ) {
			return __( 'Paid from here', 'bitcache' );
		}
		const price = postPrice( meta );
		return el(
			Fragment,
			null,
			el(
				InspectorControls,
				null,
				el(
					PanelBody,
					{ title: __( 'Price', 'bitcache' ) },
					postPriceFields( meta, set ),
					price ? null : el( 'p', null, summary( meta, 'post' ) )
				)
			),
			price
				? /* translators: %s: a price, such as 0.05 USD. */
				  sprintf( __( 'Paid from here: %s', 'bitcache' ), price )
				: __( 'Paid from here: no price yet', 'bitcache' )
		);
	}

	wp.blocks.registerBlockType( 'bitcache/paywall', {
		edit() {
			return el(
				'div',
				useBlockProps( { className: 'bitcache-divider' } ),
				el( 'span', { className: 'bitcache-dashes' } ),
				el(
					'span',
					{ className: 'bitcache-mark' },
					data.panel ? el( Divider ) : __( 'Paid from here', 'bitcache' )
				),
				el( 'span', { className: 'bitcache-dashes' } )
			);
		},
		save: () => null,
	} );

	const partName = ( clientId ) => 'p-' + clientId.slice( 0, 8 );
	const noPrice = { price: '', currency: '', part: '' };
	const ownPrice = ( clientId ) => ( {
		price: data.amount || '0.05',
		currency: data.currency,
		part: partName( clientId ),
	} );

	/** A name for a part that no other block of this post has. */
	function usePartName( { clientId, attributes, setAttributes } ) {
		const taken = useSelect(
			( select ) => {
				const { getClientIdsWithDescendants, getBlock } = select( 'core/block-editor' );
				const all = getClientIdsWithDescendants();
				return all
					.slice( 0, all.indexOf( clientId ) )
					.map( getBlock )
					.some(
						( block ) =>
							block &&
							block.name === 'bitcache/paid' &&
							block.attributes.part === attributes.part
					);
			},
			[ clientId, attributes.part ]
		);
		const { __unstableMarkNextChangeAsNotPersistent: joinLastStep } =
			useDispatch( 'core/block-editor' );
		useEffect( () => {
			// A copy of a block is sold by itself.
			if ( attributes.price && ( ! attributes.part || taken ) ) {
				// As a step of its own it would be done again after each undo, for ever.
				if ( joinLastStep ) {
					joinLastStep();
				}
				setAttributes( { part: partName( clientId ) } );
			}
		}, [ attributes.price, attributes.part, taken ] );
	}

	const paidLabel = ( { price, currency } ) =>
		/* translators: %s: a price, such as 0.05 USD. */
		sprintf( __( 'Paid part: %s', 'bitcache' ), price + ' ' + ( currency || data.currency ) );

	wp.blocks.registerBlockType( 'bitcache/paid', {
		edit( props ) {
			const { attributes, setAttributes } = props;
			const own = attributes.price !== '';
			usePartName( props );
			return el(
				Fragment,
				null,
				el(
					InspectorControls,
					null,
					el(
						PanelBody,
						{ title: __( 'Price', 'bitcache' ) },
						el( ToggleControl, {
							label: __( 'A price of its own', 'bitcache' ),
							help: own
								? __( 'Readers buy this part alone.', 'bitcache' )
								: __( 'Bought together with the post.', 'bitcache' ),
							checked: own,
							onChange: ( on ) => setAttributes( on ? ownPrice( props.clientId ) : noPrice ),
							__nextHasNoMarginBottom: true,
						} ),
						own &&
							priceFields( {
								price: attributes.price,
								currency: attributes.currency,
								set: setAttributes,
							} )
					)
				),
				el(
					'div',
					useBlockProps( { className: 'bitcache-paid-part' } ),
					el(
						'div',
						{ className: 'bitcache-label', contentEditable: false },
						own ? paidLabel( attributes ) : __( 'Paid part', 'bitcache' )
					),
					el( InnerBlocks, null )
				)
			);
		},
		save: () => el( InnerBlocks.Content ),
	} );

	wp.blocks.registerBlockType( 'bitcache/pay-button', {
		edit( { attributes, setAttributes } ) {
			const price = attributes.amount + ' ' + ( attributes.currency || data.currency );
			return el(
				Fragment,
				null,
				el(
					InspectorControls,
					null,
					el(
						PanelBody,
						{ title: __( 'Price', 'bitcache' ) },
						priceFields( {
							price: attributes.amount,
							currency: attributes.currency,
							set: ( { price: text, currency } ) =>
								setAttributes( {
									...( text === undefined ? {} : { amount: text } ),
									...( currency === undefined ? {} : { currency } ),
								} ),
						} ),
						el( TextControl, {
							label: __( 'What it is for', 'bitcache' ),
							value: attributes.title,
							onChange: ( title ) => setAttributes( { title } ),
							__nextHasNoMarginBottom: true,
							__next40pxDefaultSize: true,
						} ),
						el( TextControl, {
							label: __( 'Words on the button', 'bitcache' ),
							value: attributes.label,
							onChange: ( label ) => setAttributes( { label } ),
							__nextHasNoMarginBottom: true,
							__next40pxDefaultSize: true,
						} )
					)
				),
				el(
					'div',
					useBlockProps(),
					el(
						'span',
						{ className: 'wp-element-button wp-block-button__link' },
						attributes.label ||
							/* translators: %s: a price, such as 5 EUR. */
							sprintf( __( 'Pay %s with bitcoin', 'bitcache' ), price )
					)
				)
			);
		},
		save: () => null,
	} );
} )( window.wp, window.bitcacheEditor, window.bitcachePrice );
