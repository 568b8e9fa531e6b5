//! Voice, as far as peers and relays must agree on it: streams, and the packets of one.

pub mod packet;
pub mod stream;
