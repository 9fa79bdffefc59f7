"""The panel's part for segmentation: its form, and advice about models."""
