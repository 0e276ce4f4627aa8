/* The block editor: the panel beside a post, and the last look before it is published. */
( function ( wp, data, price ) {
	'use strict';

	const el = wp.element.createElement;
	const { Fragment } = wp.element;
	const { __, _n, sprintf } = wp.i18n;
	const { useSelect } = wp.data;
	const { Button, CheckboxControl, Notice, TextControl, ToggleControl } = wp.components;
	// It moved with WordPress 6.6.
	const { PluginDocumentSettingPanel, PluginPrePublishPanel } =
		wp.editor && wp.editor.PluginDocumentSettingPanel ? wp.editor : wp.editPost;
	const { postPrice, postPriceFields, summary, useMarks, usePost } = price;

	function numberField( label, name, rules, set ) {
		return el( TextControl, {
			label,
			type: 'number',
			min: 0,
			value: rules[ name ] === undefined ? '' : String( rules[ name ] ),
			placeholder: String( data.rules[ name ] || 0 ),
			onChange: ( text ) => {
				const next = { ...rules };
				delete next[ name ];
				set( text === '' ? next : { ...next, [ name ]: Math.max( 0, parseInt( text, 10 ) || 0 ) } );
			},
			__nextHasNoMarginBottom: true,
			__next40pxDefaultSize: true,
		} );
	}

	function rulesFields( rules, set ) {
		const roles = rules.free_roles || data.rules.free_roles || [];
		return el(
			Fragment,
			null,
			el( 'h3', null, __( 'Free', 'bitcache' ) ),
			numberField( __( 'First paragraphs', 'bitcache' ), 'free_paragraphs', rules, set ),
			numberField( __( 'First readers', 'bitcache' ), 'free_readers', rules, set ),
			numberField( __( 'After so many days', 'bitcache' ), 'free_after_days', rules, set ),
			el(
				'fieldset',
				{ className: 'bitcache-roles' },
				el( 'legend', null, __( 'For people who are signed in as', 'bitcache' ) ),
				Object.keys( data.roles ).map( ( role ) =>
					el( CheckboxControl, {
						key: role,
						label: data.roles[ role ],
						checked: roles.includes( role ),
						onChange: ( on ) =>
							set( {
								...rules,
								free_roles: on ? [ ...roles, role ] : roles.filter( ( one ) => one !== role ),
							} ),
						__nextHasNoMarginBottom: true,
					} )
				)
			)
		);
	}

	/** What the server knows of the post: sales, and what is wrong. */
	function standing( state ) {
		return el(
			Fragment,
			null,
			state.error &&
				el( Notice, { status: 'warning', isDismissible: false }, state.error ),
			state.sales > 0 &&
				el(
					'p',
					null,
					sprintf(
						/* translators: %d: how many readers have bought this post. */
						_n( '%d sale', '%d sales', state.sales, 'bitcache' ),
						state.sales
					)
				)
		);
	}

	const notConnected = () =>
		! data.connected &&
		el(
			Notice,
			{ status: 'warning', isDismissible: false },
			__( 'Nothing can be bought yet: this site is not connected.', 'bitcache' ),
			' ',
			data.settings_url &&
				el( Button, { variant: 'link', href: data.settings_url }, __( 'Connect', 'bitcache' ) )
		);

	function Panel() {
		const { meta, set } = usePost();
		const marks = useMarks();
		const state = useSelect(
			( select ) => select( 'core/editor' ).getCurrentPostAttribute( 'bitcache' ),
			[]
		);
		if ( ! meta ) {
			return null;
		}
		const rules = meta._bitcache_rules || {};
		return el(
			PluginDocumentSettingPanel,
			{ name: 'price', title: __( 'Bitcache', 'bitcache' ), className: 'bitcache-panel' },
			notConnected(),
			el( 'p', null, summary( meta, marks ) ),
			! meta._bitcache_free && postPriceFields( meta, set ),
			el( ToggleControl, {
				label: __( 'Free for everybody', 'bitcache' ),
				checked: !! meta._bitcache_free,
				onChange: ( on ) => set( { _bitcache_free: on } ),
				__nextHasNoMarginBottom: true,
			} ),
			! meta._bitcache_free &&
				rulesFields( rules, ( next ) => set( { _bitcache_rules: next } ) ),
			state && standing( state )
		);
	}

	/** Before it is published: what it will cost, so that no price is forgotten. */
	function LastLook() {
		const { meta, set } = usePost();
		const marks = useMarks();
		if ( ! meta ) {
			return null;
		}
		return el(
			PluginPrePublishPanel,
			{
				title: __( 'Bitcache', 'bitcache' ),
				className: 'bitcache-panel',
				initialOpen: marks !== '' || postPrice( meta ) !== '',
			},
			notConnected(),
			el( 'p', null, summary( meta, marks ) ),
			! meta._bitcache_free && postPriceFields( meta, set )
		);
	}

	wp.plugins.registerPlugin( 'bitcache', {
		render: () => el( Fragment, null, el( Panel ), el( LastLook ) ),
		icon: 'lock',
	} );
} )( window.wp, window.bitcacheEditor, window.bitcachePrice );
