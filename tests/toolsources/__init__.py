"""Sources of tools, with real processes."""
