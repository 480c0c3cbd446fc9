"""The upkeep of a log in use: backups, checks, restores, space."""
