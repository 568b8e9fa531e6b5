//! `voices.json`: which streams are open, who may speak, who hears whom, and what a relay passes on.

use parlor::proto::audio::stream::Topic;
use serde::Serialize;

use crate::near::{direct, members};
use crate::stage::peer;
use crate::vectors::check;
use crate::wall::play;

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Case {
    /// What each topic is of, and the topic.
    Topics {
        name: &'static str,
        why: &'static str,
        topics: Vec<String>,
    },
    Relay {
        name: &'static str,
        why: &'static str,
        /// A limit that is not as by default, if any is.
        config: &'static str,
        steps: Vec<String>,
    },
    Members {
        name: &'static str,
        why: &'static str,
        config: &'static str,
        steps: Vec<String>,
    },
}

#[test]
fn voices() {
    let of_relays = [streams(), hearing(), rights(), silence(), passes(), pace(), reports()];
    let cases = [topics()].into_iter().chain(of_relays).chain([members(), direct()]);
    check("voices.json", &cases.flatten().collect::<Vec<_>>());
}

/// Packets of the epoch `04030201`, and one of `08070605`: what a script's words stand for.
const PACKETS: [(&str, &str); 5] = [
    ("AUDIO", "009400000000000001020304 07"),
    ("OTHER", "009400000000000005060708 07"),
    ("COMFORT", "085000000000000001020304"),
    ("END", "047f00000000000001020304"),
    ("HEAD", "009400000000000001020304"),
];

fn relay(name: &'static str, why: &'static str, script: &str) -> Case {
    with(name, why, "", script)
}

fn with(name: &'static str, why: &'static str, config: &'static str, script: &str) -> Case {
    let script = PACKETS.iter().fold(script.to_owned(), |script, (word, bytes)| {
        script.replace(word, &bytes.replace(' ', ""))
    });
    Case::Relay { name, why, config, steps: play(config, &script) }
}

fn topics() -> Vec<Case> {
    let letters = [[0; 5], [1, 2, 3, 4, 5], [255; 5]]
        .map(|drawn| format!("{} {}", hex::encode(drawn), Topic::new(drawn)));
    let direct = [
        (1, 0, 0),
        (1, 0, 0x0403_0201),
        (1, 1, 0x0403_0201),
        (1, 255, u32::MAX),
        (2, 0, 0x0403_0201),
    ];
    let direct = direct.map(|(seed, number, epoch)| {
        let (peer, key) = (peer(seed), hex::encode(peer(seed).as_bytes()));
        format!("{key} {number} {epoch:08x} {}", Topic::direct(peer, number, epoch))
    });
    vec![
        Case::Topics {
            name: "topic-letters",
            why: "five bytes, and the letters that stand for them",
            topics: letters.into(),
        },
        Case::Topics {
            name: "topic-direct",
            why: "a member's key, a stream's number and epoch, and its topic on direct links",
            topics: direct.into(),
        },
    ]
}

fn streams() -> Vec<Case> {
    vec![
        relay(
            "stream",
            "everybody is told, and who comes later before the room is there for it",
            "0 a in; 0 b in; 100 a open 0 04030201; 200 b open 255 ffffffff muted; \
             300 a mute 0; 310 a mute 0; 400 c in; 500 a unmute 0; 600 a close 0; \
             610 a close 0; 620 a mute 0; 700 b leaves; 800 a open 0 04030201",
        ),
        relay(
            "stream-replaced",
            "what is open is closed before it is opened anew, and has another topic",
            "0 a in; 0 b in; 50 b hear all; 100 a open 0 04030201; 200 a open 0 04030201; \
             210 a says 1 AUDIO; 220 a says 2 AUDIO; 300 a open 0 08070605 muted; \
             400 a open 0 08070605; 410 a says 4 OTHER; 420 a says 4 AUDIO",
        ),
        relay(
            "stream-lost",
            "who loses its link or leaves is gone, and its streams; who comes back opens them again",
            "0 a in; 0 b in; 100 a open 0 04030201; 110 a open 1 08070605 muted; \
             200 a lost; 300 a in; 310 a open 0 04030201; 320 a open 1 08070605 muted; \
             400 a leaves",
        ),
        relay(
            "stream-too-many",
            "four, whatever their numbers; one that is open is not one more",
            "0 a in; 100 a open 0 04030201; 110 a open 1 04030201; 120 a open 9 04030201; \
             130 a open 200 04030201; 140 a open 2 04030201; 150 a open 9 08070605; \
             160 a close 0; 170 a open 2 04030201",
        ),
        with(
            "stream-unsupported",
            "a relay that carries no voice",
            "streams 0",
            "0 a in; 0 b in; 100 a open 0 04030201; 200 b hear all",
        ),
        relay(
            "stream-older",
            "who is of 2.4 is told nothing of voices, and is told what else there is",
            "0 a in; 10 a open 0 04030201; 100 b in minor 4; 200 a mute 0; 300 a silence b; \
             400 a close 0",
        ),
    ]
}

fn hearing() -> Vec<Case> {
    vec![
        relay(
            "hear",
            "nobody before anything is said; each replaces what was said before, at once",
            "0 a in; 0 b in; 0 c in; 0 d in; 10 a open 0 04030201; 10 b open 0 04030201; \
             20 a says 1 AUDIO; 100 c hear all; 100 a says 1 AUDIO; 110 d hear all; \
             120 a says 1 AUDIO; 200 c hear all but a; 210 a says 1 AUDIO; \
             220 b says 2 AUDIO; 300 c hear none but a; 310 a says 1 AUDIO; \
             320 b says 2 AUDIO; 400 c hear none but a deaf; 410 a says 1 AUDIO; \
             420 b says 2 AUDIO; 500 c hear none but a; 510 a says 1 AUDIO; \
             520 b says 2 AUDIO; 600 c hear none; 610 a says 1 AUDIO; 700 a hear all; \
             710 a says 1 AUDIO; 720 b says 2 AUDIO; 730 a hear none but a; \
             740 a says 1 AUDIO",
        ),
        relay(
            "hear-later",
            "what was said holds of streams and of members that come later, and for one link",
            "0 a in; 0 b in; 10 b hear all but c; 20 a open 0 04030201; 30 a says 1 AUDIO; \
             100 c in; 110 c open 0 04030201; 120 c says 2 AUDIO; 200 a open 0 08070605; \
             210 a says 3 OTHER; 300 b lost; 400 b in; 410 a says 3 OTHER; 420 b hear all; \
             430 a says 3 OTHER; 440 c says 2 AUDIO",
        ),
    ]
}

fn rights() -> Vec<Case> {
    vec![
        relay(
            "speak-forbidden",
            "without the role nothing is opened; who has it no more is refused first, then closed",
            "0 a in with join write; 0 b in with join write speak; 10 b hear all; \
             100 a open 0 04030201; 200 a renew with join write speak; \
             210 a open 0 04030201; 220 a open 1 08070605; 230 a says 1 AUDIO; \
             300 a renew with join write; 310 a says 1 AUDIO; 320 a open 1 08070605",
        ),
        relay(
            "speak-until",
            "warned 30 s before, refused and closed then; another token lets it speak again",
            "0 a in with join write speak until 60; 0 b in with join write speak; \
             10 b hear all; 100 a open 0 04030201; 110 a open 1 08070605; \
             29900 a says 1 AUDIO; 59900 a says 1 AUDIO; 60100 a says 1 AUDIO; \
             60200 a open 0 04030201; 61000 a renew with join write speak until 600; \
             61100 a open 0 04030201; 61200 a says 3 AUDIO",
        ),
        relay(
            "speak-renewed",
            "another token counts from when it comes, for longer or for less, and is warned of itself",
            "0 a in with join write speak until 60; 0 b in with join write speak; \
             10 b hear all; 100 a open 0 04030201; \
             40000 a renew with join write speak until 120; 61000 a says 1 AUDIO; \
             95000 a says 1 AUDIO; 96000 a renew with join write speak until 106; \
             105900 a says 1 AUDIO; 106100 a says 1 AUDIO; \
             107000 a renew with join write speak until 100; 107100 a open 0 04030201; \
             108000 a renew with join write speak; 108100 a open 0 04030201; \
             200000 a says 2 AUDIO",
        ),
    ]
}

fn silence() -> Vec<Case> {
    vec![
        relay(
            "silence",
            "by who owns the room; of all streams, also when it comes back, until it is let speak",
            "0 a in; 0 b in; 0 c in; 10 a hear all; 10 c hear all; 20 b open 0 04030201; \
             30 c silence b; 40 b says 1 AUDIO; 100 a silence b; 110 b says 1 AUDIO; \
             120 b says 1 END; 130 a silence b; 140 b open 1 04030201; 150 b says 2 AUDIO; \
             200 b lost; 300 b in; 310 b open 0 04030201; 320 b says 3 AUDIO; \
             400 a unsilence b; 410 b says 3 AUDIO; 500 a unsilence b",
        ),
        relay(
            "silence-absent",
            "whose link is lost is as if it were there for a while; who was not there, or left, is not",
            "0 a in; 0 b in; 0 c in; 100 b lost; 200 a silence b; 300 c leaves; \
             400 a silence c; 500 a silence d; 600 a unsilence b",
        ),
        with(
            "silence-many",
            "no more than so many at once",
            "silenced 1",
            "0 a in; 0 b in; 0 c in; 100 a silence b; 200 a silence c; 300 a silence b; \
             400 a unsilence b; 500 a silence c",
        ),
    ]
}

fn passes() -> Vec<Case> {
    vec![
        relay(
            "pass-whose",
            "by the link of the stream's member, to its own topic, while it is open",
            "0 a in; 0 b in; 0 c in; 10 c hear all; 20 a open 0 04030201; \
             20 b open 0 04030201; 100 a says 1 AUDIO; 110 b says 1 AUDIO; \
             120 c says 1 AUDIO; 130 a says 2 AUDIO; 140 a says 0 AUDIO; 200 a close 0; \
             210 a says 1 AUDIO",
        ),
        relay(
            "pass-read",
            "each kind passes; what is no packet, or of another epoch, does not",
            "0 a in; 0 b in; 10 b hear all; 20 a open 0 04030201; 100 a says 1 AUDIO; \
             120 a says 1 COMFORT; 140 a says 1 END; 160 a says 1 OTHER; 180 a says 1 -; \
             200 a says 1 0094000000000000010203; 220 a says 1 HEAD; \
             240 a says 1 01940000000000000102030407; \
             260 a says 1 0c940000000000000102030407; \
             280 a says 1 40940000000000000102030407; 300 a says 1 END07; \
             320 a says 1 20940000000000000102030401aa07; \
             340 a says 1 20940000000000000102030400aa07; \
             360 a says 1 20940000000000000102030402aa07; \
             380 a says 1 20940000000000000102030402aa",
        ),
        relay(
            "pass-large",
            "1,012 bytes, and no more",
            "0 a in; 0 b in; 10 b hear all; 20 a open 0 04030201; \
             100 a says 1 HEAD+07*1000; 1000 a says 1 HEAD+07*1001",
        ),
        with(
            "pass-larger",
            "a relay may take less",
            "packet 20",
            "0 a in; 0 b in; 10 b hear all; 20 a open 0 04030201; 100 a says 1 HEAD+07*8; \
             200 a says 1 HEAD+07*9",
        ),
        relay(
            "pass-muted",
            "End within 500 ms of a mute that is one, and nothing else until that is over",
            "0 a in; 0 b in; 10 b hear all; 20 a open 0 04030201; 100 a says 1 AUDIO; \
             1000 a mute 0; 1020 a says 1 AUDIO; 1040 a says 1 END; 1060 a says 1 COMFORT; \
             1400 a mute 0; 1490 a says 1 END; 1510 a says 1 END; 2000 a unmute 0; \
             2010 a says 1 AUDIO; 3000 a open 0 04030201 muted; 3010 a says 2 END; \
             3020 a says 2 AUDIO; 3030 a unmute 0; 3040 a says 2 AUDIO",
        ),
    ]
}

fn pace() -> Vec<Case> {
    vec![
        relay(
            "pace-packets",
            "30 at once, then 60 a second; what is not taken costs nothing, and a pause gives it back",
            "0 a in; 0 b in; 10 b hear all; 20 a open 0 04030201; 1000 a says 1 AUDIO 40; \
             1015 a says 1 AUDIO 9; 1018 a says 1 AUDIO 9; 2000 a says 1 AUDIO 40; \
             4000 a says 1 AUDIO 200 10; 10000 a says 1 AUDIO 200 20",
        ),
        relay(
            "pace-bytes",
            "10,000 at once, then 20,000 a second, each packet with its header; a short one has room yet",
            "0 a in; 0 b in; 10 b hear all; 20 a open 0 04030201; \
             1000 a says 1 HEAD+07*1000 12; 1003 a says 1 HEAD+07*1000; 1003 a says 1 AUDIO; \
             1010 a says 1 HEAD+07*1000; 3000 a says 1 HEAD+07*688 100 20",
        ),
        relay(
            "pace-reopened",
            "a number goes on where it was, another has its own, and so has another link",
            "0 a in; 0 b in; 10 b hear all; 20 a open 0 04030201; 1000 a says 1 AUDIO 40; \
             1001 a open 0 04030201; 1002 a says 2 AUDIO 9; 1003 a close 0; \
             1004 a open 0 04030201; 1005 a says 3 AUDIO 9; 1006 a open 1 04030201; \
             1007 a says 4 AUDIO 40; 1025 a says 3 AUDIO 9; 1026 a lost; 1030 a in; 1031 a open 0 04030201; \
             1032 a says 5 AUDIO 40",
        ),
        with(
            "pace-numbers",
            "as many allowances as streams: a new number has that of a closed stream that owes least",
            "streams 2",
            "0 a in; 0 b in; 10 b hear all; 20 a open 0 04030201; 20 a open 1 04030201; \
             1000 a says 1 AUDIO 40; 1050 a says 2 AUDIO 40; 1060 a close 0; \
             1060 a close 1; 1070 a open 2 04030201; 1110 a says 3 AUDIO 40; \
             1110 a open 3 04030201; 1110 a says 4 AUDIO 40",
        ),
    ]
}

fn reports() -> Vec<Case> {
    vec![
        relay(
            "report",
            "the highest of what hearers said, whenever that changes, 0 too; over 100 is 100",
            "0 a in; 0 b in; 0 c in; 10 b hear all; 10 c hear all; 20 a open 0 04030201; \
             100 b report a/0 3; 200 c report a/0 9; 300 b report a/0 200; \
             400 b report a/0 0; 500 b report a/0 9; 600 c report a/0 0; \
             700 b report a/0 0; 800 c report a/0 0",
        ),
        relay(
            "report-first",
            "nothing before anybody said anything; a first 0 is told",
            "0 a in; 0 b in; 10 b hear all; 20 a open 0 04030201; 30 b hear all deaf; \
             40 b hear all; 100 b report a/0 0",
        ),
        relay(
            "report-unheard",
            "of a stream that is not heard, of one's own or of none it is passed over",
            "0 a in; 0 b in; 0 c in; 10 a hear all; 10 b hear all but a; \
             20 a open 0 04030201; 20 c open 0 04030201; 100 b report a/0 5 c/0 6 c/9 7; \
             200 a report a/0 5; 300 b hear all; 400 b report a/0 5 c/0 7",
        ),
        relay(
            "report-forgotten",
            "when its sayer stops hearing the stream or goes, and when the stream is opened anew",
            "0 a in; 0 b in; 0 c in; 10 b hear all; 10 c hear all; 20 a open 0 04030201; \
             100 b report a/0 5; 110 c report a/0 40; 200 c hear all deaf; \
             210 c report a/0 50; 220 c hear all; 300 c report a/0 50; 310 c leaves; \
             400 b hear none; 500 b hear all; 510 b report a/0 8; 600 a open 0 04030201; \
             700 b report a/0 8; 800 b lost",
        ),
    ]
}
