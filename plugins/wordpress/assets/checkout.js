/* WooCommerce's checkout block: one more way to pay. */
( function ( wc, wp ) {
	'use strict';

	const settings = wc.wcSettings.getSetting( 'bitcache_data', {} );
	const decode = wp.htmlEntities.decodeEntities;
	const title = decode( settings.title || 'Bitcoin' );
	const make = wp.element.createElement;

	/* The checkout hands its own things to whatever stands here: components take them, elements would print them. */
	const Label = ( { components } ) =>
		components && components.PaymentMethodLabel ? make( components.PaymentMethodLabel, { text: title } ) : title;
	const Content = () => make( 'p', null, decode( settings.description || '' ) );

	wc.wcBlocksRegistry.registerPaymentMethod( {
		name: 'bitcache',
		label: make( Label ),
		ariaLabel: title,
		content: make( Content ),
		edit: make( Content ),
		canMakePayment: () => true,
		supports: { features: settings.supports || [ 'products' ] },
	} );
} )( window.wc, window.wp );
