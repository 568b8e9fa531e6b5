//! The cases of `voices.json` that are of members: what they say, and whom they hear without a relay.

use crate::company::{Of, play};
use crate::voices::Case;

fn member(name: &'static str, why: &'static str, script: &str) -> Case {
    Case::Members { name, why, config: "", steps: play("", Of::Relay, script) }
}

fn near(name: &'static str, why: &'static str, script: &str) -> Case {
    Case::Members { name, why, config: "", steps: play("", Of::Links, script) }
}

pub(crate) fn members() -> Vec<Case> {
    let one = "streams 1";
    let refused = "0 a in; 10 a open; 20 a open; 30 a open; 100 a lost; 200 a found";
    vec![
        member(
            "member-comes",
            "whom it hears, then its streams; and again when it comes back, as it is then",
            "0 a hear all; 0 a open; 0 a open muted; 10 a in; 100 a unmute 1; 200 a close 0; \
             300 a open; 400 a lost; 410 a mute 0; 420 a hear all but b; 430 a close 1; \
             440 a open; 500 a found",
        ),
        Case::Members {
            name: "member-refused",
            why: "what was refused is forgotten, and can be opened again under its number",
            config: one,
            steps: play(one, Of::Relay, refused),
        },
        member(
            "member-reports",
            "what changes only; all is said anew of what is heard again, and by a new link",
            "0 a in; 0 b in; 10 a hear all; 20 b open; 100 a misses b/0 5; \
             200 a misses b/0 5; 300 a misses b/0 101; 400 a hear all deaf; \
             410 a misses b/0 7; 420 a hear all; 430 a misses b/0 100; 500 a lost; \
             510 a found; 520 a misses b/0 100",
        ),
    ]
}

/// Two who hear each other, speak, and have a direct link.
const TWO: &str = "0 a in; 0 b in; 0 a hear all; 0 b hear all; 10 a open; 10 b open; 20 a near b; ";

/// The same, and one more that has no direct links.
const THREE: &str = "0 a in; 0 b in; 0 c in; 0 a hear all; 0 b hear all; 0 c hear all; \
                     10 a open; 10 b open; 10 c open; 20 a near b; ";

pub(crate) fn direct() -> Vec<Case> {
    let two = |name, why, script: &str| near(name, why, &[TWO, script].concat());
    let three = |name, why, script: &str| near(name, why, &[THREE, script].concat());
    vec![
        near(
            "direct-links",
            "with whom it is told of, until that one leaves or is put out, or 10 min after it was lost",
            "0 a in; 0 b in; 0 c in; 0 d in; 100 b leaves; 200 d lost; 300 a kick c; \
             599000 a hear all; 601000 a leaves",
        ),
        three(
            "direct-alone",
            "without a relay it hears whom it has a link with, as far as it wants to, for 10 min",
            "100 a lost; 100 b lost; 200 a mute 0; 300 a unmute 0; \
             400 a hear all but b; 500 a hear all; 600 b close 0; 700 b open; \
             599000 a hear none; 601000 a hear all",
        ),
        three(
            "direct-lost",
            "whom the relay has lost its neighbours hear, until it is back there with its streams",
            "100 a lost; 1000 a found; 30000 c leaves",
        ),
        two("direct-gone", "and for 10 min, if it is not", "100 a lost; 601000 b hear none"),
        two(
            "direct-far",
            "no longer than the link is there",
            "100 a lost; 100 b lost; 200 a far b; 300 a near b",
        ),
        two(
            "direct-same",
            "what is opened anew under its name, with its epoch, is the same stream: nobody is told",
            "100 a lost; 100 b lost; 200 relay forgets; 1000 a found; 2000 b found; \
             30000 a hear none",
        ),
        two(
            "direct-back",
            "who is back first hears the other directly until that is back too, and opens it there",
            "100 a lost; 100 b lost; 1000 a found; 2000 b found; 30000 a hear none",
        ),
        two(
            "direct-unopened",
            "what is not opened there again is over 20 s after its member is back",
            "100 a lost; 200 a close 0; 1000 a found; 30000 a hear none",
        ),
        two(
            "direct-silenced",
            "who is silenced says nothing, and nobody asks for it, before a relay says otherwise",
            "50 a silence b; 100 a lost; 100 b lost; 1000 a found; 2000 b found; \
             3000 a unsilence b",
        ),
    ]
}
