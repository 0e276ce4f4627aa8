"""The widget's modules, installed as ``bitcache_widget`` so that the server can hand them out."""
