"""The command line: a file for each command, of its name, with a function that returns a `Result`.

`commands.py` lists them, `main.py` runs one, `arguments.py` makes its parser from the function's
signature, `console.py` prints results and progress. `completion.py` is the command that
prints scripts for shells. Commands import what is heavy when they run, so that `--help` is quick.
"""
