"""What the network learns from: targets, augmentation, loss."""
