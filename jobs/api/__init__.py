"""The API's addresses of jobs, a package a version."""
