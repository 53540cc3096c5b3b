"""A posterior that is certified for every image. Names are imported when first used."""
