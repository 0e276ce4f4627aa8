/* Quick edit opens with the price that the post has. */
( function () {
	'use strict';

	const inline = window.inlineEditPost;
	const edit = inline && inline.edit;
	if ( ! edit ) {
		return;
	}
	inline.edit = function ( id ) {
		const answer = edit.apply( this, arguments );
		const post = typeof id === 'object' ? inline.getId( id ) : id;
		const own = document.querySelector( '#post-' + post + ' .bitcache-own' );
		const row = document.getElementById( 'edit-' + post );
		if ( own && row ) {
			const field = ( name ) => row.querySelector( '[name="bitcache_quick[' + name + ']"]' );
			field( 'amount' ).value = own.dataset.amount;
			const { currency } = own.dataset;
			const list = field( 'currency' );
			if ( currency && ! [ ...list.options ].some( ( { value } ) => value === currency ) ) {
				list.add( new Option( currency ) );
			}
			list.value = currency || list.options[ 0 ].value;
			field( 'free' ).checked = own.dataset.free === '1';
		}
		return answer;
	};
} )();
