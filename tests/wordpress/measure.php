<?php
/**
 * Measures PHP files for test_style.py: php measure.php FILE...
 *
 * Prints a line of JSON for each function (its lines of code), each class and each line: how wide
 * it is without the texts in it, which cannot be broken.
 */

foreach ( array_slice( $argv, 1 ) as $file ) {
	$code    = '';
	$classes = 0;
	$depth   = 0;
	$begins  = array();
	$waits   = null;
	$line    = 1;
	$before  = null;
	foreach ( token_get_all( file_get_contents( $file ) ) as $token ) {
		list( $kind, $text ) = is_array( $token ) ? $token : array( null, $token );
		if ( T_CLASS === $kind && T_DOUBLE_COLON !== $before ) {
			++$classes;
		} elseif ( T_FUNCTION === $kind ) {
			$waits = $line;
		} elseif ( ';' === $text && null !== $waits ) {
			$waits = null;
		} elseif ( '{' === $text || T_CURLY_OPEN === $kind || T_DOLLAR_OPEN_CURLY_BRACES === $kind ) {
			++$depth;
			if ( null !== $waits ) {
				$begins[ $depth ] = array( $waits, strlen( $code ) );
				$waits            = null;
			}
		} elseif ( '}' === $text ) {
			if ( isset( $begins[ $depth ] ) ) {
				list( $from, $at ) = $begins[ $depth ];
				$lines             = count( array_filter( array_map( 'trim', explode( "\n", substr( $code, $at ) ) ) ) );
				echo json_encode( array( 'function', $file, $from, $lines ) ), "\n";
				unset( $begins[ $depth ] );
			}
			--$depth;
		}
		$breaks = substr_count( $text, "\n" );
		$line  += $breaks;
		if ( in_array( $kind, array( T_COMMENT, T_DOC_COMMENT ), true ) ) {
			$text = str_repeat( "\n", $breaks );
		} elseif ( in_array( $kind, array( T_CONSTANT_ENCAPSED_STRING, T_ENCAPSED_AND_WHITESPACE, T_INLINE_HTML ), true ) ) {
			$text = "''" . str_repeat( "\n", $breaks );
		}
		$code .= $text;
		if ( T_WHITESPACE !== $kind ) {
			$before = $kind;
		}
	}
	echo json_encode( array( 'classes', $file, 0, $classes ) ), "\n";
	foreach ( explode( "\n", $code ) as $at => $text ) {
		echo json_encode( array( 'width', $file, $at + 1, strlen( str_replace( "\t", '    ', rtrim( $text ) ) ) ) ), "\n";
	}
}
