//! Links of members with each other, past their relay: for voices to go on by when it is gone.
//!
//! Whom to have one with is for the machine to say, and so is what goes by it ([`Circle`]). Of two the
//! one with the smaller id dials: addresses that the application has named, or the other's place at
//! their relay's circuit relay, from where libp2p's `DCUtR` finds a direct way. Nothing but gossip of
//! voices goes over the connection ([`Gate::Direct`](crate::net::voice::Gate)): it is no link of a
//! machine, and opens no lanes.

mod attempts;
mod circle;
mod config;
mod neighbours;

pub(crate) use crate::net::direct::attempts::{Attempts, Step};
pub(crate) use crate::net::direct::circle::Circle;
pub use crate::net::direct::config::DirectConfig;
pub(crate) use crate::net::direct::neighbours::{Met, Neighbours, is_relayed};
