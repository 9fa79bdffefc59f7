"""The U-Net: what it is (`spec`, no torch) and how it computes (`unet`)."""
