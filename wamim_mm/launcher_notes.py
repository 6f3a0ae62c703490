"""What the processes of a run leave for those that start them.

Launchers take every exit code but 0 for a failure, and kill or restart the rest. So a run that has
saved ends with 0 behind one, and the command that started it says it with `SAVED_CODE`.
"""

#: Variable of the environment: the file that a process writes when it has begun, so that one that
#: is started in its place knows.
BEGUN = 'WAMIM_BEGUN'
#: Variable of the environment: the file that a run writes when it was told to stop and has saved;
#: it holds whether the run is to go on by itself.
SAVED = 'WAMIM_SAVED'
#: Exit code: saved, start me again (EX_TEMPFAIL of sysexits.h).
SAVED_CODE = 75
