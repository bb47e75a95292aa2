"""C++ loops for CPUs: attention over key intervals, softmax for training, optimizer states."""
