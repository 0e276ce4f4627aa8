/* The lists of posts: quick edit opens with the price that the post has, and no slip of the finger is
 * swallowed, in quick edit and in bulk edit. */
( function () {
	'use strict';

	const inline = window.inlineEditPost;
	const { edit, save } = inline || {};
	if ( ! edit || ! save ) {
		return;
	}
	const postOf = ( id ) => ( typeof id === 'object' ? inline.getId( id ) : id );

	inline.edit = function ( id ) {
		const answer = edit.apply( this, arguments );
		const post = postOf( id );
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

	inline.save = function ( id ) {
		const row = document.getElementById( 'edit-' + postOf( id ) );
		const amount = row && row.querySelector( '[name="bitcache_quick[amount]"]' );
		return amount && ! amount.reportValidity() ? false : save.apply( this, arguments );
	};

	const what = document.querySelector( '[name="bitcache_bulk[what]"]' );
	const amount = document.querySelector( '[name="bitcache_bulk[amount]"]' );
	if ( what && amount ) {
		const show = () => {
			const sells = what.value === 'price';
			amount.required = sells;
			// What is hidden must not stop the form.
			amount.disabled = ! sells;
			amount.parentElement.hidden = ! sells;
		};
		what.addEventListener( 'change', show );
		show();
	}
} )();
