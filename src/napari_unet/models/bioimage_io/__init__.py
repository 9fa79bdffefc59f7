"""Packages of BioImage.IO: models to other programs and from them."""
