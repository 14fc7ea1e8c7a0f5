"""Classify small images with a convolutional net, or with the dense one it is compared to."""
