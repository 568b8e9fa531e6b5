//! Limits and times of voice.

use std::time::Duration;

/// How voice travels, at both ends of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct VoiceNetConfig {
    /// Bytes of a packet. A longer one is thrown away wherever it comes from. 1,012: 12 of its header
    /// and the longest frame. At most [`Arrival::LONGEST`](crate::net::Arrival::LONGEST).
    pub packet: usize,
    /// Gossip topics that the other end may be subscribed to at once; a message that makes more of
    /// them is ignored as a whole. A relay is subscribed to no more itself: who speaks without
    /// datagrams beyond that is not heard. 4,096, for which a client takes lists of 20 bytes each
    /// (gossipsub: 100, beyond which a client goes silent).
    pub topics: usize,
    /// Messages of gossip that a relay takes of a connection a second, in the long run; more are thrown away
    /// unread. Each has at most 16 KiB and a packet, and the memory of those that are taken goes
    /// within [`Self::seen`]. 250.
    pub messages_per_second: u32,
    /// Messages of gossip that a relay takes of a connection at once after it has been quiet. Of one without a
    /// link a sixteenth of both. 2,048: a
    /// thousand topics at once, and some of them again.
    pub message_burst: u32,
    /// How often gossipsub sees to its peers. 1 s.
    pub heartbeat: Duration,
    /// For how long a packet is known, so that its copies go no further. 5 s (gossipsub: 60 s).
    pub seen: Duration,
    /// How long a packet of this peer's own may wait for its gossip stream. Then it is thrown away.
    /// 200 ms (gossipsub: 5 s).
    pub publish_wait: Duration,
    /// How long a packet of another may wait for a gossip stream. Then it is thrown away. 100 ms
    /// (gossipsub: 1 s).
    pub forward_wait: Duration,
    /// Packets that may wait for one peer's gossip stream. One more is thrown away. 256.
    pub stream_queue: usize,
    /// Packets that may wait for the swarm. One more is thrown away. 1,024.
    pub outgoing: usize,
    /// Bytes of packets that may wait to be sent to a link as datagrams. The oldest make room for new
    /// ones. 16 KiB; about 120 packets.
    pub bytes: usize,
    /// How long a packet may wait to be sent as a datagram. Then it is thrown away. 60 ms.
    pub age: Duration,
    /// How long a packet waits at a relay, at most, for packets of others: for those that go into the same
    /// datagram until there is one of each whom the listener hears at present, for those that go by
    /// gossip until there is one of each who speaks at the relay. At a peer it does not wait. 3 ms:
    /// frames of those who speak at once begin at the same times.
    pub merge: Duration,
    /// How soon a peer subscribes again to a topic of which nothing comes, at first; then after twice
    /// as long each time, until after [`Self::settle`]. A relay may hear of a subscription before it
    /// hears that it is to be taken. 100 ms.
    pub retry: Duration,
    /// After how much silence of a topic a peer asks for it by another way: by gossip, where datagrams
    /// do not bring it. 1 s: who is silent sends something each 400 ms.
    pub silence: Duration,
    /// How long a peer stays with another way before it tries datagrams again; each time in a row
    /// twice as long, up to 64 times. 10 s.
    pub settle: Duration,
    /// How long a peer may stay subscribed to a topic that it is not to have any more. Then its
    /// connections are closed. 60 s: an application that stands still for a while is no offender.
    pub lapse: Duration,
}

impl Default for VoiceNetConfig {
    fn default() -> Self {
        Self {
            packet: 1012,
            topics: 4096,
            messages_per_second: 250,
            message_burst: 2048,
            heartbeat: Duration::from_secs(1),
            seen: Duration::from_secs(5),
            publish_wait: Duration::from_millis(200),
            forward_wait: Duration::from_millis(100),
            stream_queue: 256,
            outgoing: 1024,
            bytes: 16 << 10,
            age: Duration::from_millis(60),
            merge: Duration::from_millis(3),
            retry: Duration::from_millis(100),
            silence: Duration::from_secs(1),
            settle: Duration::from_secs(10),
            lapse: Duration::from_secs(60),
        }
    }
}
