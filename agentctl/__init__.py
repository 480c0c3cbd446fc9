"""agentctl: the terminal client and control tool."""
