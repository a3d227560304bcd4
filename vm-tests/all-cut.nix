# The cluster as it is.
{ }
