"""The built-in tool that fetches what is on the web."""

from agentd.toolsources.web.source import WebTools as WebTools
