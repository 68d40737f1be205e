"""What is put into a 2D network at these places, around its own modules, whose names stay.

`wrapping`: a wrapped module; `temporal_wrapper`: a temporal operation before it; `key_value`: one
on its keys and values; `adapters`, `linear_adapters`, `time_attention`, `temporal_position`,
`frame_average`: what else is put into a transformer; `non_local`: blocks behind a module.
"""
