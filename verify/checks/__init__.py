"""What is proved, a module for each part of a registry; every proof says what it saw, or raises what is wrong."""
