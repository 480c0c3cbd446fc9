"""Walls around the processes that tools start: bubblewrap, namespaces, a syscall filter."""
