<?php wp_list_comments(); ?>
<?php comment_form(); ?>
