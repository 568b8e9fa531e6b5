//! How packets of voice travel: by gossip topics (gossipsub), and as datagrams where a link has any.
//!
//! A relay keeps an account of who has to do with which topic ([`Tunings`]), which its machine
//! writes; whatever a peer subscribes to or publishes is held against that. A packet that the machine
//! passes goes to each hearer once: by gossip if it is subscribed to the topic, else by datagram if
//! its link has any. A peer's packets go past its machine, from and to a [`VoiceDesk`].

mod company;
mod config;
mod desk;
mod exchange;
mod filter;
mod gate;
mod gossip;
mod held;
mod lane;
mod leaf;
mod pack;
mod reception;
mod toll;
mod tunings;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::net::direct::Circle;
use crate::proto::audio::stream::Topic;

pub use crate::net::voice::config::VoiceNetConfig;
pub use crate::net::voice::desk::{Arrival, Arrivals, Ear, Loudness, VoiceDesk, Watch};
pub(crate) use crate::net::voice::exchange::Exchange;
pub(crate) use crate::net::voice::gate::Gate;
pub(crate) use crate::net::voice::gossip::{Came, Claim, Gossip, GossipEvent};
pub(crate) use crate::net::voice::lane::{Listener, VoiceLane};
pub(crate) use crate::net::voice::leaf::Leaf;
pub(crate) use crate::net::voice::pack::pack;
pub(crate) use crate::net::voice::tunings::{Listing, Tunings};

/// What the swarm is to do with packets.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Say it to everybody who is to have it.
    Publish {
        /// On which topic.
        topic: Topic,
        /// The packet.
        packet: Bytes,
    },
    /// Forward what came by gossip.
    Accept {
        /// On which topic.
        topic: Topic,
        /// What it is called.
        claim: Claim,
    },
    /// Forget what came by gossip.
    Ignore(Claim),
}

/// The driver's end of all voice.
#[derive(Clone, Debug)]
pub(crate) struct VoiceEnd {
    /// Who has to do with which topic.
    pub(crate) tunings: Tunings,
    /// What goes by direct links.
    pub(crate) circle: Circle,
    /// What the swarm is to do. What there is no room for is lost, as packets are.
    pub(crate) outgoing: mpsc::Sender<Outgoing>,
}
