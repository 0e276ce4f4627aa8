"""Where the files that are sold lie."""
