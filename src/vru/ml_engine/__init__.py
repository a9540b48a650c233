"""ml_engine: runs models from the model repository on images and on videos in the media store."""
