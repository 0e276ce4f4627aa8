<?php
add_theme_support( 'title-tag' );
add_theme_support( 'post-thumbnails' );
add_theme_support( 'automatic-feed-links' );
add_theme_support( 'html5', array( 'gallery', 'caption', 'script', 'style' ) );
add_action(
	'widgets_init',
	function () {
		register_sidebar( array( 'id' => 'side', 'name' => 'Side' ) );
	}
);
