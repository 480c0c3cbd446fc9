"""Shell commands and background jobs as tools."""
