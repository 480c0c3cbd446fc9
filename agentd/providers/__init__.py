"""One adapter per wire dialect of a model vendor."""
