"""The formats by name, for command lines that have not read a file yet."""

FORMATS = ("coco", "cvat", "kitti", "kitti-tracking", "mot", "yolo")
PREDICTION_FORMATS = ("coco", "kitti", "kitti-tracking", "mot", "yolo")
LIMIT_BYTES = 1 << 30
