"""The built-in tools that work with files: read, write, edit, glob, grep."""
