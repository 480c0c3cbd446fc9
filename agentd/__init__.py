"""agentd: the daemon that holds sessions, turns, tools and models."""
