"""The systems of the comparison that are not a temporal operation in a 2D network.

`registry` makes them by name of networks (`i3d`, `eco`, `bn_inception`), heads (`relation`,
`region_graph`), and recognizers that take a clip as a whole (`whole_clip`).
"""
