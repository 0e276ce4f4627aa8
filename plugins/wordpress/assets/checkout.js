/* WooCommerce's checkout block: one more way to pay. */
( function ( wc, wp ) {
	'use strict';

	const settings = wc.wcSettings.getSetting( 'bitcache_data', {} );
	const decode = wp.htmlEntities.decodeEntities;
	const title = decode( settings.title || 'Bitcoin' );
	const content = wp.element.createElement( 'p', null, decode( settings.description || '' ) );

	wc.wcBlocksRegistry.registerPaymentMethod( {
		name: 'bitcache',
		label: wp.element.createElement( 'span', null, title ),
		ariaLabel: title,
		content,
		edit: content,
		canMakePayment: () => true,
		supports: { features: settings.supports || [ 'products' ] },
	} );
} )( window.wc, window.wp );
