//! The lanes as libp2p protocols: one long-lived stream for each, opened by the client.

use std::convert::Infallible;
use std::future::{Ready, ready};

use libp2p::Stream;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};

use crate::proto::id::Lane;

/// A stream for each lane, in the order of [`Lane::ALL`].
pub(crate) type Streams = [Stream; Lane::ALL.len()];

/// Where a lane stands in [`Lane::ALL`].
pub(crate) const fn index(lane: Lane) -> usize {
    match lane {
        Lane::Control => 0,
        Lane::Document => 1,
        Lane::Snapshot => 2,
        Lane::State => 3,
    }
}

/// A lane as it is named when a stream is opened, with the protocol's major version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol(pub(crate) Lane);

impl AsRef<str> for Protocol {
    fn as_ref(&self) -> &str {
        match self.0 {
            Lane::Control => "/parlor/2/control",
            Lane::Document => "/parlor/2/document",
            Lane::Snapshot => "/parlor/2/snapshot",
            Lane::State => "/parlor/2/state",
        }
    }
}

/// The lanes that one end offers for a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer(&'static [Lane]);

impl Offer {
    /// Every lane, for who listens.
    pub(crate) const ALL: Self = Self(&Lane::ALL);
    /// None, for who dials.
    pub(crate) const NONE: Self = Self(&[]);

    /// One lane, for who opens it.
    pub(crate) const fn one(lane: Lane) -> Self {
        Self(match lane {
            Lane::Control => &[Lane::Control],
            Lane::Document => &[Lane::Document],
            Lane::Snapshot => &[Lane::Snapshot],
            Lane::State => &[Lane::State],
        })
    }
}

impl UpgradeInfo for Offer {
    type Info = Protocol;
    type InfoIter = Vec<Protocol>;

    fn protocol_info(&self) -> Vec<Protocol> {
        self.0.iter().copied().map(Protocol).collect()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Lane, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: Protocol) -> Self::Future {
        ready(Ok((protocol.0, stream)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Lane, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: Protocol) -> Self::Future {
        ready(Ok((protocol.0, stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::reason::Version;

    #[test]
    fn lanes_are_named_by_the_major_version() {
        for lane in Lane::ALL {
            let name = format!("/parlor/{}/{lane:?}", Version::CURRENT.major).to_lowercase();
            assert_eq!(Protocol(lane).as_ref(), name);
        }
    }
}
