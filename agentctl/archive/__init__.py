"""Sessions as files: written from what the daemon has, and read back into it. docs/cli.md describes both formats."""
