"""Images from named sets, files and arrays: one type, `Images`, and one function, `load`."""

from gmvae.data.arrays import from_arrays
from gmvae.data.images import Images
from gmvae.data.sources import has_test_part, has_val_part, load
from gmvae.support.choices import NAMED

__all__ = ["NAMED", "Images", "from_arrays", "has_test_part", "has_val_part", "load"]
