//! Packets in datagrams: of each its topic (the five bytes that it stands for), its length (unsigned
//! LEB128, at most 2 bytes) and its bytes; or of one alone the first two bytes of its topic, where
//! those tell it from others, and its bytes. Layout: `datastore-spec/wire.md`.

use bytes::{BufMut, Bytes, BytesMut};
use data_encoding::BASE32_NOPAD;

use crate::proto::audio::stream::Topic;

/// Bytes of a topic.
const TOPIC: usize = 5;

/// The most bytes of a packet whose length has two bytes.
const LONGEST: usize = (1 << 14) - 1;

/// The five bytes that a topic stands for.
pub(super) type Drawn = [u8; TOPIC];

/// The first two bytes of a topic.
pub(super) type Prefix = [u8; 2];

fn drawn(topic: Topic) -> Option<Drawn> {
    let letters = topic.as_str().to_ascii_uppercase();
    let mut drawn = [0; TOPIC];
    BASE32_NOPAD.decode_mut(letters.as_bytes(), &mut drawn).ok()?;
    Some(drawn)
}

/// What stands for a topic where there is no other that begins like it.
pub(super) fn prefix(topic: Topic) -> Option<Prefix> {
    drawn(topic)?.first_chunk().copied()
}

/// A packet as it stands in a datagram; nothing, if it is too long for any.
pub(crate) fn pack(topic: Topic, packet: &[u8]) -> Option<Bytes> {
    if packet.len() > LONGEST {
        return None;
    }
    let drawn = drawn(topic)?;
    let mut packed = BytesMut::with_capacity(TOPIC + 2 + packet.len());
    packed.put_slice(&drawn);
    if packet.len() >= 0x80 {
        packed.put_u8((packet.len() & 0x7f) as u8 | 0x80);
        packed.put_u8((packet.len() >> 7) as u8);
    } else {
        packed.put_u8(packet.len() as u8);
    }
    packed.put_slice(packet);
    Some(packed.freeze())
}

/// The one packet of a datagram that begins with a prefix.
pub(super) fn unpack_lone(datagram: &Bytes) -> Option<(Prefix, Bytes)> {
    let prefix = *datagram.first_chunk()?;
    Some((prefix, datagram.slice(prefix.len()..)))
}

/// A packet that was packed as it stands alone, and how its topic begins.
pub(super) fn alone(packed: &Bytes) -> Option<(Prefix, Bytes)> {
    let prefix: Prefix = *packed.first_chunk()?;
    let (_, packet) = split(packed.clone()).next()?;
    Some((prefix, [&prefix[..], &packet].concat().into()))
}

/// The packets in a datagram. What follows something malformed is none.
pub(super) fn unpack(datagram: Bytes) -> impl Iterator<Item = (Topic, Bytes)> {
    split(datagram).map(|(drawn, packet)| (Topic::new(drawn), packet))
}

/// The same, with topics as they stand there.
pub(super) fn split(mut datagram: Bytes) -> impl Iterator<Item = (Drawn, Bytes)> {
    std::iter::from_fn(move || {
        let drawn = *datagram.first_chunk::<TOPIC>()?;
        let (length, start) = match datagram[TOPIC..] {
            [low, high, ..] if low >= 0x80 && high > 0 && high < 0x80 => {
                (usize::from(low & 0x7f) | usize::from(high) << 7, TOPIC + 2)
            }
            [low, ..] if low < 0x80 => (usize::from(low), TOPIC + 1),
            _ => return None,
        };
        if datagram.len() < start + length {
            return None;
        }
        let packet = datagram.slice(start..start + length);
        datagram = datagram.slice(start + length..);
        Some((drawn, packet))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packets_come_out_as_they_went_in(
            packets in prop::collection::vec(
                (any::<[u8; 5]>(), prop::collection::vec(any::<u8>(), 0..1_012)),
                0..5,
            ),
        ) {
            let mut datagram = BytesMut::new();
            for (drawn, packet) in &packets {
                datagram.put(pack(Topic::new(*drawn), packet).unwrap());
            }
            let unpacked: Vec<_> = unpack(datagram.freeze()).collect();
            let expected: Vec<_> = packets
                .into_iter()
                .map(|(drawn, packet)| (Topic::new(drawn), Bytes::from(packet)))
                .collect();
            prop_assert_eq!(unpacked, expected);
        }

        #[test]
        fn bytes_of_strangers_are_packets_or_nothing(
            bytes in prop::collection::vec(any::<u8>(), 0..1_200),
        ) {
            let most = bytes.len();
            let total: usize = unpack(bytes.into()).map(|(_, packet)| TOPIC + 1 + packet.len()).sum();
            prop_assert!(total <= most);
        }
    }

    #[test]
    fn alone_it_costs_two() {
        let topic = Topic::new([1, 2, 3, 4, 5]);
        let (prefix, alone) = alone(&pack(topic, &[9; 92]).unwrap()).unwrap();
        assert_eq!(prefix, [1, 2]);
        assert_eq!(alone.len(), 94);
        assert_eq!(unpack_lone(&alone), Some(([1, 2], vec![9; 92].into())));
        assert_eq!(unpack_lone(&alone.slice(..1)), None);
    }

    #[test]
    fn a_packet_costs_six_bytes_or_seven() {
        let topic = Topic::new([1; 5]);
        assert_eq!(pack(topic, &[0; 127]).unwrap().len(), 133);
        assert_eq!(pack(topic, &[0; 128]).unwrap().len(), 135);
        assert_eq!(pack(topic, &[0; LONGEST + 1]), None);
    }

    #[test]
    fn a_length_is_as_short_as_it_can_be_and_within_its_datagram() {
        for bad in [&[0, 0, 0, 0][..], &[0; 5], &[0, 0, 0, 0, 0, 0x80, 0], &[0, 0, 0, 0, 0, 2, 9]] {
            assert_eq!(unpack(Bytes::copy_from_slice(bad)).count(), 0, "{bad:?}");
        }
    }
}
