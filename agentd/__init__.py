"""agentd: the daemon that holds sessions, turns, tasks, tools and models."""

from agentd import slim as slim
