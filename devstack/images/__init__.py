"""The services' container images: built, weighed, started and stopped where no Docker engine is to be had."""
