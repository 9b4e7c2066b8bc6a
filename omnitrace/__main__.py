"""`python -m omnitrace`: the command, without the script on the PATH."""

from omnitrace.cli import entry

entry()
