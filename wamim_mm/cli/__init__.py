"""From a command line to a Runner: what the commands in tools/ call.

All commands have one pattern: a light front here and a heavy back in another room. A front parses
the arguments, then checks that the config, the data and the checkpoint that they name exist. At the
top of its file it imports the standard library only. The back, with torch and the libraries of
OpenMMLab, is imported afterwards, inside a function. So help and errors in the arguments appear at
once.
"""
