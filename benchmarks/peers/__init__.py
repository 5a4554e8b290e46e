"""The race against peers: other people's keypoint networks on the same machine, images and threads, in one run."""
