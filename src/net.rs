//! Sockets: the driver of the pure machines. It moves [`Input`](crate::proto::event::Input) and
//! [`Effect`](crate::proto::event::Effect) between them and libp2p, and decides nothing about rooms.
//!
//! A room's client side stands on a [`Carrier`], the relay on a [`Relay`]. Both have one task for
//! the swarm, one for each link, and bounded queues between them and the machine.

mod address;
mod admission;
mod behaviour;
mod boot;
mod carrier;
mod clock;
mod config;
mod cork;
mod dial;
mod direct;
mod frames;
mod fresh;
mod handler;
mod hub;
mod identity;
mod keeper;
mod link;
mod links;
mod operator;
mod pings;
mod protocol;
mod quic;
mod relay;
mod relays;
mod secret;
mod state;
mod survey;
mod swarm;
mod voice;
mod webhook;

pub use address::{AddressError, RelayAddress};
pub use boot::{RelayState, StateError};
pub use carrier::{Carrier, CarrierError};
pub use clock::Clock;
pub use config::{CircuitConfig, NetConfig, RelayChoice, RelayNetConfig};
pub use direct::DirectConfig;
pub use identity::{IdentityError, load_or_create};
pub use operator::{Operator, OperatorError};
pub use relay::{DEFAULT_LISTEN, Machine, Relay, RelayError};
pub use secret::{SecretError, create_token_secret, load_token_secret, load_webhook_secret};
pub use survey::{Measured, Unmeasured};
pub use swarm::measure;
pub use voice::{Arrival, Arrivals, Ear, Loudness, VoiceDesk, VoiceNetConfig, Watch};
pub use webhook::{
    Authoriser, Courier, Deliveries, DeliveryStatistics, HookedHub, Lifecycle, Target, TargetError,
    WebhookConfig, WebhookFault, WebhookSecret, WebhookSecretError,
};
