"""The built-in tools that work with files: read, write, edit, glob, grep."""

from agentd.toolsources.files.source import FileTools as FileTools
