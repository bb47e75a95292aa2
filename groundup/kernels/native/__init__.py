"""Which loops run in C++ on processors? Attention of one run of keys, and softmax for training."""
