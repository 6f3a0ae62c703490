"""From a command line to a Runner: what the commands in tools/ call.

All commands have one pattern: a light front here and a heavy back in another room. A front parses
the arguments, then looks whether the config, the data and the checkpoint that they name are there;
at its top stands the standard library alone. The back, with torch and the libraries of OpenMMLab,
is imported inside a function after that. So help and mistakes are answered at once.
"""
