//! Whether each partition has been read to its end.
