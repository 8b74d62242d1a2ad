"""Whole runs as TOML files, named by what they were checked on."""
