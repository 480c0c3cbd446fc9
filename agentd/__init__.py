"""agentd: the daemon that holds sessions, turns, tools and models."""

__version__ = "0.1.0"
