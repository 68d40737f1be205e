"""From clips to the best recognizer that a time allows: `mixtconv fit`.

`settings`: what the user fixes. `survey`: what the clips are like. `ladder`: recipes that are
tried. `budget`: what fits into the time. `advice`: what the clips lack. `fit`: all of it in order.
"""
