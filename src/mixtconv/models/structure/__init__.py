"""What a 2D network computes, and the places in it where temporal operations fit.

`network_trace` runs a network once and records it. Places are found by what is computed, in any
network: `residual_branches` by the sums of feature maps, `spatial_blocks` by spatial convolutions
where there are no sums, `attention_sites` the layers of keys and values, `token_blocks` the
branches of attention and MLP. `token_layout`: where the positions of a picture are in a tensor.
"""
