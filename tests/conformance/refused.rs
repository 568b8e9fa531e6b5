//! Frames that are no messages.

use parlor::proto::id::AppId;
use parlor::proto::id::{ClientNumber, DocumentId};
use parlor::proto::reason::Version;
use parlor::proto::wire::message::{Hash, Hello, Message};
use parlor::proto::wire::{DecodeError, MAX_FRAME, decode, encode};

use crate::wire::Case;

/// Name, why, limit and frame.
type Bytes = (&'static str, &'static str, usize, Vec<u8>);

/// Frames that must be refused, with the reason.
pub(crate) fn refused() -> Vec<Case> {
    let frames = [frames(), values(), bounds()].concat();
    frames
        .into_iter()
        .map(|(name, why, limit, frame)| Case::Refused {
            name: name.to_owned(),
            why: why.to_owned(),
            limit,
            error: error(&decode(&frame, limit).unwrap_err()),
            frame: hex::encode(frame),
        })
        .collect()
}

#[test]
fn a_frame_that_is_cut_short_anywhere_is_refused() {
    let frame = encode(&hello());
    for length in 0..frame.len() {
        let cut = decode(&frame[..length], MAX_FRAME);
        assert_eq!(cut, Err(DecodeError::Malformed), "{length}");
    }
}

fn hello() -> Message {
    Message::Hello(Hello {
        version: Version::CURRENT,
        nonce: [7; 16],
        app: AppId([1; 8]),
        schema: [2; 8],
    })
}

fn error(error: &DecodeError) -> String {
    match error {
        DecodeError::TooLarge { limit, size } => format!("too large: {size} over {limit}"),
        DecodeError::Version { major } => format!("version {major}"),
        DecodeError::Malformed => "malformed".to_owned(),
        DecodeError::Trailing { bytes } => format!("trailing: {bytes}"),
        other => panic!("a new error: {other:?}"),
    }
}

fn frames() -> Vec<Bytes> {
    let hello = encode(&hello()).to_vec();
    let cut = hello[..hello.len() - 1].to_vec();
    let more = [&hello[..], &[0, 0]].concat();
    vec![
        ("none", "a frame has at least its version", MAX_FRAME, vec![]),
        ("version-only", "and a message", MAX_FRAME, vec![2]),
        (
            "version-other",
            "a leave of another major version: nothing after the version is read",
            MAX_FRAME,
            vec![3, 4],
        ),
        ("version-zero", "there is no version 0", MAX_FRAME, vec![0, 4]),
        ("variant-unknown", "a message that is not in the list", MAX_FRAME, vec![2, 20]),
        ("cut", "the last byte is missing; so it is for a cut at any other byte", MAX_FRAME, cut),
        ("trailing", "two bytes after the message", MAX_FRAME, more),
        ("over-limit", "a frame larger than the receiver takes is not decoded", 16, hello),
    ]
}

fn values() -> Vec<Bytes> {
    let long = vec![2, 16, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0];
    let over = vec![2, 16, 0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0];
    vec![
        ("flag", "a flag is 0 or 1", MAX_FRAME, vec![2, 12, 0, 0, 2]),
        ("option", "an option begins with 0 or 1", MAX_FRAME, vec![2, 11, 0, 0, 1, 0, 2]),
        ("varint-long", "a u32 has at most five bytes", MAX_FRAME, long),
        ("varint-over", "and at most 32 bits", MAX_FRAME, over),
        ("text", "a string is UTF-8", MAX_FRAME, vec![2, 11, 0, 0, 1, 1, 0, 1, 0xff, 0]),
    ]
}

/// One over each kind of bound. A list is refused by its length alone, before any element.
fn bounds() -> Vec<Bytes> {
    let frame = |parts: &[&[u8]]| parts.concat();
    let heads = (DocumentId::MODELS, Vec::<Hash>::new(), true);
    assert_eq!(postcard::to_allocvec(&heads).unwrap(), [0, 0, 1]);
    assert_eq!(postcard::to_allocvec(&ClientNumber(300)).unwrap(), [0xac, 2]);
    vec![
        (
            "bound-heads",
            "at most 4,096 heads",
            MAX_FRAME,
            vec![2, 16, 0, 14, 14, 14, 14, 0x81, 0x20],
        ),
        (
            "bound-entries",
            "at most 1,024 entries in a frame",
            MAX_FRAME,
            vec![2, 11, 0, 0, 0x81, 8],
        ),
        ("bound-members", "at most 256 members on a page", MAX_FRAME, vec![2, 8, 1, 0, 1, 0x81, 2]),
        (
            "bound-key",
            "at most 512 bytes in a well-known key",
            MAX_FRAME,
            frame(&[&[2, 11, 0, 0, 1, 1, 0, 0x81, 4], &[b'k'; 513], &[0]]),
        ),
        (
            "bound-signature",
            "at most 64 bytes in a signature",
            MAX_FRAME,
            frame(&[&[2, 11, 0, 0, 1, 2], &[6; 16], &[1], &[8; 32], &[65], &[9; 65]]),
        ),
    ]
}
