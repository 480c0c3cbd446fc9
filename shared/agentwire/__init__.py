"""What agentd and agentctl agree on: no I/O, no trio."""
