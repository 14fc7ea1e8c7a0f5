"""What `mlops.bench` starts: the clients, and the alternative that is measured beside ours."""
