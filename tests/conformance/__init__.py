"""One suite per Protocol of agentd.ports, run on every implementation, fakes included."""
