"""The network in use: prediction, memory and threads of it."""
