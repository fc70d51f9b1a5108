"""Proves from outside that a running registry does what the stack says: `python -m verify --help`."""
