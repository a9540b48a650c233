"""api_gateway: the one service that faces users. Users, projects, videos and ground truth; the rest is forwarded."""
