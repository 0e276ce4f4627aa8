/* Block "File for sale". Plain script: no build. */
( function ( blocks, blockEditor, components, element, i18n, ServerSideRender ) {
	'use strict';
	const el = element.createElement;
	const __ = i18n.__;

	/** A button that opens the media library. */
	function choose( props, label ) {
		return el(
			blockEditor.MediaUploadCheck,
			null,
			el( blockEditor.MediaUpload, {
				value: props.attributes.id,
				onSelect: ( media ) => props.setAttributes( { id: media.id } ),
				render: ( media ) => el( components.Button, { variant: 'primary', onClick: media.open }, label ),
			} )
		);
	}

	blocks.registerBlockType( 'bitcache/file', {
		edit( props ) {
			const inside = props.attributes.id
				? [
						el( blockEditor.BlockControls, { key: 'bar' }, el( components.ToolbarGroup, null, choose( props, __( 'Replace', 'bitcache' ) ) ) ),
						el( components.Disabled, { key: 'file' }, el( ServerSideRender, { block: 'bitcache/file', attributes: { id: props.attributes.id } } ) ),
				  ]
				: el(
						components.Placeholder,
						{
							icon: 'lock',
							label: __( 'File for sale', 'bitcache' ),
							instructions: __( 'Choose a file. Its price is set in the media library.', 'bitcache' ),
						},
						choose( props, __( 'Choose a file', 'bitcache' ) )
				  );
			return el( 'div', blockEditor.useBlockProps(), inside );
		},
		save: () => null,
	} );
} )( window.wp.blocks, window.wp.blockEditor, window.wp.components, window.wp.element, window.wp.i18n, window.wp.serverSideRender );
