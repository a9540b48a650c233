"""camera_service: keeps cameras, reads their pictures in real time, and shows the newest."""
