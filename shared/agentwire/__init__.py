"""What agentd and agentctl agree on: no I/O, no trio."""

__version__ = "0.1.0"
