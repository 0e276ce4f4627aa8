/* The page "Bitcache" in wp-admin: the wall changes with the fields, and the connection is looked at. */
( function () {
	'use strict';

	const DEFAULT_RADIUS = 12;

	function byId( id ) {
		return document.getElementById( 'bitcache-' + id );
	}

	/* Black or white, whichever reads better on a colour (WCAG 2.2); as Settings::on_accent. */
	function onAccent( colour ) {
		const light = [ 0.2126, 0.7152, 0.0722 ].reduce( function ( sum, weight, at ) {
			const part = parseInt( colour.substr( 1 + 2 * at, 2 ), 16 ) / 255;
			return sum + weight * ( part <= 0.04045 ? part / 12.92 : Math.pow( ( part + 0.055 ) / 1.055, 2.4 ) );
		}, 0 );
		return ( light + 0.05 ) * ( light + 0.05 ) > 1.05 * 0.05 ? '#000000' : '#ffffff';
	}

	function set( style, name, value ) {
		if ( value ) {
			style.setProperty( name, value );
		} else {
			style.removeProperty( name );
		}
	}

	function preview() {
		const wall = byId( 'wall' );
		const own = byId( 'own-accent' ).checked;
		const accent = byId( 'accent' );
		const radius = Number( byId( 'radius' ).value );
		accent.disabled = ! own;
		wall.dataset.theme = byId( 'theme' ).value;
		set( wall.style, '--bitcache-accent', own && accent.value );
		set( wall.style, '--bitcache-on-accent', own && onAccent( accent.value ) );
		set( wall.style, '--bitcache-radius', radius !== DEFAULT_RADIUS && radius + 'px' );
		document.querySelector( 'output[for="bitcache-radius"]' ).textContent = radius + ' px';
		document.querySelector( '.bitcache-preview-notice' ).textContent = byId( 'notice' ).value;
		const price = wall.querySelector( '.bitcache-wall-price' );
		price.querySelector( 'strong' ).textContent = byId( 'price' ).value.trim() || '0.05';
		price.lastChild.textContent = ' ' + byId( 'currency' ).value;
	}

	function look( health ) {
		const body = new URLSearchParams( { action: 'bitcache_health', _ajax_nonce: health.dataset.nonce } );
		health.setAttribute( 'aria-busy', 'true' );
		return fetch( window.ajaxurl, { method: 'POST', credentials: 'same-origin', body: body } )
			.then( function ( answer ) {
				return answer.json();
			} )
			.then( function ( found ) {
				if ( found.success ) {
					/* Escaped on the server, by ConnectionPart::health. */
					health.innerHTML = found.data.html;
				}
			} )
			.catch( function () {} )
			.then( function () {
				health.removeAttribute( 'aria-busy' );
			} );
	}

	function connection() {
		const health = byId( 'health' );
		const button = byId( 'check' );
		if ( ! health ) {
			return;
		}
		health.setAttribute( 'aria-live', 'polite' );
		button.form.addEventListener( 'submit', function ( event ) {
			const words = button.value;
			event.preventDefault();
			button.disabled = true;
			button.value = health.dataset.busy;
			look( health ).then( function () {
				button.disabled = false;
				button.value = words;
				button.focus();
			} );
		} );
		if ( health.dataset.stale === '1' ) {
			look( health );
		}
	}

	byId( 'form' ).addEventListener( 'input', preview );
	byId( 'form' ).addEventListener( 'change', preview );
	preview();
	connection();
}() );
