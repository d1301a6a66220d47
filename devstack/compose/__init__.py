"""docker-compose.yml as data, to check it and to start what it says as plain processes."""
