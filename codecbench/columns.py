"""Names that columns of rows, of summaries and of what is made from them have; no plugin metric may take one.

Kept apart from the modules that make these columns, since those load pandas and listing metrics must not.
"""

from __future__ import annotations

ROWS = """
    dataset image height width channels codec settings num_bytes container_bytes estimated_bits mse mse_float
    max_abs_error exact_pixels ssim lossless
"""
SUMMARY = """
    dataset codec settings images bits_per_image bits_per_pixel compression_ratio compression_ratio_float32 mse
    mse_float psnr_db psnr_of_mean_mse_db ssim max_abs_error lossless encode_s decode_s failed exact_images
    exact_pixels out_of_domain on_training_images container_bytes payload_bits_per_image payload_bits_per_pixel
    estimated_bits encode_iqr_s decode_iqr_s encode_min_s decode_min_s encode_cpu_s decode_cpu_s encode_latency_s
    decode_latency_s batch encode_images_per_s decode_images_per_s encode_megapixels_per_s decode_megapixels_per_s
    cold_encode_s cold_decode_s encode_peak_bytes decode_peak_bytes device_peak_bytes transfer_s timed_images threads
    device timed_on unsteady reason
"""
ON_THE_WAY = """
    bits payload_bits pixels samples exact equal_pixels order
    curve swept label mark trained_on total_images value rate quality anchor status note best
"""
"""Of sums that a summary is made from, and of tables made from a summary."""
COLUMNS = frozenset(f"{ROWS} {SUMMARY} {ON_THE_WAY}".split())
