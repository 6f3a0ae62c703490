"""From a command line to a Runner: what the commands in tools/ call."""
