"""The built-in tool that fetches what is on the web."""
