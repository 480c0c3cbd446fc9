"""Sessions, turns and the agent loop: no vendor names, no sockets."""
