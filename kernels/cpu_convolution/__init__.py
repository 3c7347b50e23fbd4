"""The compiled convolution of CPUs, which the ops `convolution` and `modulated_conv2d` and the
synthesis plans share: minimal filtering with everything around it in one pass."""
