"""What a codec, a dataset and a metric are, and how one is found."""
