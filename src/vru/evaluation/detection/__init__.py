"""Metrics of boxes in pictures: COCO, miss rate, operating point, calibration, KITTI, TIDE."""
