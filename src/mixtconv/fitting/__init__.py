"""From clips to the best recognizer that a time allows: `mixtconv fit`.

`settings`: what the user fixes. `clips`: which clips, decoded. `survey`: what they are like.
`ladder`: recipes that are tried. `costs`: what they need here. `trials`: their trainings,
`side_by_side`: several at a time. `choosing`: which of them, for how long. `estimate`: the score to
expect, and what the clips lack. `record`: what is done so far. `page`: the report. `fit`: all of it
in order.
"""
