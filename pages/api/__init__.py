"""The API's part of pages: the link that `submit.py --web` opens."""
