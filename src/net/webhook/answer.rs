//! What an application's server answers to a question.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::proto::authorisation::Verdict;
use crate::proto::token::Roles;

/// The most bytes of the words for people in an answer.
const MAX_MESSAGE: usize = 1 << 10;

/// The most bytes of the words for the application in an answer.
const MAX_CONTEXT: usize = 4 << 10;

/// What a verdict and for how long and for whom it may be remembered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    pub(super) cache: Duration,
    pub(super) key: Fields,
}

/// Which fields of a question must be equal for an answer to hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Fields {
    pub(super) room: bool,
    pub(super) peer: bool,
    pub(super) context: bool,
}

impl Fields {
    /// Every choice of them, those of more fields first: what is said of one peer counts before what
    /// is said of all.
    pub(super) const ALL: [Self; 8] = [
        Self::new(true, true, true),
        Self::new(true, true, false),
        Self::new(false, true, true),
        Self::new(true, false, true),
        Self::new(false, true, false),
        Self::new(true, false, false),
        Self::new(false, false, true),
        Self::new(false, false, false),
    ];

    const fn new(room: bool, peer: bool, context: bool) -> Self {
        Self { room, peer, context }
    }
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Field {
    Room,
    Peer,
    Context,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    allow: bool,
    roles: Option<Roles>,
    message: Option<String>,
    context: Option<String>,
    #[serde(default)]
    cache_seconds: u64,
    cache_key: Option<Vec<Field>>,
}

impl Answer {
    /// Reads the body of an answer: nothing, unless it is wholly one.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let Written { allow, roles, message, context, cache_seconds, cache_key } =
            serde_json::from_slice(body).ok()?;
        let key = cache_key.map_or(Fields::ALL[0], |fields| Fields {
            room: fields.contains(&Field::Room),
            peer: fields.contains(&Field::Peer),
            context: fields.contains(&Field::Context),
        });
        let verdict = match (allow, roles, message, context) {
            (true, roles, None, None) => Verdict::Allowed { roles },
            (false, None, message, context) => {
                let (message, context) = (message.unwrap_or_default(), context.unwrap_or_default());
                if message.len() > MAX_MESSAGE || context.len() > MAX_CONTEXT {
                    return None;
                }
                Verdict::Refused { message, context }
            }
            // It says both.
            (true, ..) | (false, Some(_), ..) => return None,
        };
        Some(Self { verdict, cache: Duration::from_secs(cache_seconds), key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::token::Role;

    fn read(text: &str) -> Option<Answer> {
        Answer::read(text.as_bytes())
    }

    #[test]
    fn an_answer_says_yes_or_no() {
        let whole = Fields::ALL[0];
        let yes = Verdict::Allowed { roles: None };
        let cache = Duration::ZERO;
        assert_eq!(read(r#"{"allow":true}"#), Some(Answer { verdict: yes, cache, key: whole }));
        let roles = Some(Roles::NONE.with(Role::Join).with(Role::Write));
        let text =
            r#"{"allow":true,"roles":["write","join"],"cache_seconds":9,"cache_key":["room"]}"#;
        let key = Fields { room: true, peer: false, context: false };
        let (verdict, cache) = (Verdict::Allowed { roles }, Duration::from_secs(9));
        assert_eq!(read(text), Some(Answer { verdict, cache, key }));
        let text = r#"{"allow":false,"message":"full","context":"7","cache_key":[]}"#;
        let verdict = Verdict::Refused { message: "full".to_owned(), context: "7".to_owned() };
        let key = Fields { room: false, peer: false, context: false };
        assert_eq!(read(text), Some(Answer { verdict, cache: Duration::ZERO, key }));
    }

    #[test]
    fn whatever_else_is_no_answer() {
        let long = format!(r#"{{"allow":false,"message":"{}"}}"#, "x".repeat(1_025));
        let wrong = [
            "",
            "yes",
            "{}",
            "true",
            r#"{"allow":"true"}"#,
            r#"{"allow":1}"#,
            r#"{"allow":true,"allow":false}"#,
            r#"{"allow":true} {"allow":false}"#,
            r#"{"allow":true,"role":["join"]}"#,
            r#"{"allow":true,"roles":["admin"]}"#,
            r#"{"allow":true,"message":"but"}"#,
            r#"{"allow":false,"roles":[]}"#,
            r#"{"allow":true,"cache_seconds":-1}"#,
            r#"{"allow":true,"cache_key":["app"]}"#,
            &long,
        ];
        for text in wrong {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(Answer::read(&[0xff, 0xfe]), None);
    }
}
