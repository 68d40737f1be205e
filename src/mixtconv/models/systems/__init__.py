"""Recognizers by name: families over timm's backbones, and the systems of the comparison.

`factory` makes them and loads their files, `causal` makes their causal twins. `registry` has the
systems that are not a temporal operation in a 2D network, made of networks (`i3d`, `eco`,
`bn_inception`), heads (`relation`, `region_graph`), and recognizers that take a clip as a whole
(`whole_clip`).
"""
