"""The interactive chat, on prompt_toolkit."""
