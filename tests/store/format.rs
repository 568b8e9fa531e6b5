//! Files of this version of the format, which are read for ever.
