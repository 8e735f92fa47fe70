"""The mobile in a browser: the files of a site, written to a folder for any web server."""
