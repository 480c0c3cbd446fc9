"""What agentd and agentctl agree on: no I/O, no trio. Both are of the one version named here."""

__version__ = "0.1.0"
