//! Peers of gossipsub over libp2p's own QUIC.

use std::error::Error;
use std::time::Duration;

use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, IdentTopic, MessageAuthenticity, MessageId, ValidationMode,
};
use libp2p::{Swarm, SwarmBuilder};

/// Eight letters, as the name of a room might have.
pub(crate) const TOPIC: &str = "the-room";

/// How long everybody may take to be there.
pub(crate) const MEETING: Duration = Duration::from_secs(20);

/// A peer that has subscribed. Nothing is signed, which is the fastest that gossipsub can do, and
/// the relay's mesh has room for `many`: with less than everybody it would lose most of them. The
/// first `name` bytes of a message tell it from others.
pub(crate) fn swarm(
    many: usize,
    name: usize,
) -> Result<Swarm<Behaviour>, Box<dyn Error + Send + Sync>> {
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::None)
        .message_id_fn(move |message| MessageId::from(message.data.get(..name).unwrap_or_default()))
        .mesh_outbound_min(0)
        .mesh_n_low(many)
        .mesh_n(many)
        .mesh_n_high(2 * many)
        .idontwant_message_size_threshold(usize::MAX)
        .build()?;
    let mut behaviour = Behaviour::new(MessageAuthenticity::Anonymous, config)?;
    behaviour.subscribe(&IdentTopic::new(TOPIC))?;
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_quic()
        .with_behaviour(|_| behaviour)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(MEETING))
        .build())
}
