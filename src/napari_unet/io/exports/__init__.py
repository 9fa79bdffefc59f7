"""Results for other programs: tables, outlines for ImageJ and QuPath, labels inside OME-Zarr."""

from napari_unet.io.exports.geojson import save_geojson
from napari_unet.io.exports.image_folder import save_into_image
from napari_unet.io.exports.rois import save_rois
from napari_unet.io.exports.tables import save_table

__all__ = ["save_geojson", "save_into_image", "save_rois", "save_table"]
