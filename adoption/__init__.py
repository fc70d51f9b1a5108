"""Takes a registry that was made by hand into a stack, while it goes on serving."""
