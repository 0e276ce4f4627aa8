"""One file per step, in the order of their numbers. They import nothing of the application."""
