"""Measurements of this project, each a module to run."""
