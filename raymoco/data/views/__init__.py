"""Two random views of each image, on the device."""
