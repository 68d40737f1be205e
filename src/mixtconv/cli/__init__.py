"""The command line: a file for each command, of its name, with a thin function that runs it.

`main.py` lists the commands and runs one, `arguments.py` makes its parser from the function's
signature, `console.py` prints tables, JSON and progress. `completion.py` is the command that
prints scripts for shells. Commands import what is heavy when they run, so that `--help` is quick.
"""
