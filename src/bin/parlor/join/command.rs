//! What can be typed.

use std::time::Duration;

use clap::ValueEnum;
use parlor::proto::id::PeerIdError;
use parlor::{Mode, PeerId, Request, Terms};

use crate::arguments::Who;

/// How long somebody is kept out, if nothing else is said.
const MINUTE: Duration = Duration::from_secs(60);
/// How long an invite is good.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What the commands are, for a person.
pub(super) const HELP: &str = "\
show [PATH]                     the room, or what is at a path
set PATH VALUE                  give a property a value
add COLLECTION [NAME=VALUE ..]  put a new model into a set or list;
add COLLECTION KEY [NAME=VALUE ..]  or under a key of a dictionary; of one that is
                                confirmed, the relay says who gets the key
remove PATH                     take a model out of its collection
count PATH N                    add to a counter (N may be negative)
text PATH insert AT \"...\"       put something into a text
text PATH delete AT N           take N characters out of a text
claim PATH [exclusive|fixed] [protected] [destroy]  own a model: only you edit it then.
                                exclusive: never two at once; fixed: for ever yours;
                                protected: nobody takes it from you; destroy: it goes with you
release PATH                    let go of a model
give PATH PEER                  let a member own a model
owner PATH                      who owns a model, and who decides about it
say NAME TEXT                   tell everybody else, once; it is kept nowhere
room                            what the room is, and whose
describe TEXT                   say what it is
data KEY [VALUE]                write a value of the room's data, or remove it
capacity N                      how many may be here
list, unlist                    put the room into lists, or take it out
lock, unlock                    let only those in who are here now, or others too
policy everyone|invited|nobody  who may come in
password [TEXT]                 what who comes in must know, or nothing
invite [PEER]                   make an invite, good once and for a day
kick PEER [SECONDS]             put a member out, for a while (60 s)
pardon PEER                     let it in again before that
owner-is PEER                   make another member the owner of the room
presence KEY [VALUE]            say something of yourself while you are here
shout NAME TEXT                 the same at once or never: it may be lost
tell PEER NAME TEXT             tell one member, or `relay`, and wait until it has heard
watch                           tell what happens until the next line
members                         who is here
stats                           the connection in numbers
wait (or save)                  wait until the relay has everything
help, quit
Paths are names or ids with `/` between: players/ann/score, turns/#0/name.";

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Nothing,
    Show { path: String },
    Set { path: String, value: String },
    Add { collection: String, arguments: Vec<String> },
    Remove { path: String },
    Count { path: String, by: i64 },
    Insert { path: String, at: usize, text: String },
    Delete { path: String, at: usize, count: usize },
    Claim { path: String, terms: Terms },
    Release { path: String },
    Give { path: String, to: String },
    Owner { path: String },
    Say { name: String, text: String },
    Room,
    Ask(Request),
    Presence { key: String, value: Option<String> },
    Shout { name: String, text: String },
    Tell { to: String, name: String, text: String },
    Watch,
    Members,
    Statistics,
    Wait,
    Help,
    Quit,
}

impl Command {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let words = words(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match &words[..] {
            [] => Self::Nothing,
            ["show"] => Self::Show { path: String::new() },
            ["show", path] => Self::Show { path: (*path).to_owned() },
            ["set", path, value @ ..] if !value.is_empty() => {
                Self::Set { path: (*path).to_owned(), value: value.join(" ") }
            }
            ["add", collection, arguments @ ..] => Self::Add {
                collection: (*collection).to_owned(),
                arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            },
            ["remove", path] => Self::Remove { path: (*path).to_owned() },
            ["count", path, by] => Self::Count { path: (*path).to_owned(), by: number(by)? },
            ["text", path, "insert", at, text @ ..] if !text.is_empty() => {
                Self::Insert { path: (*path).to_owned(), at: number(at)?, text: text.join(" ") }
            }
            ["text", path, "delete", at, count] => {
                Self::Delete { path: (*path).to_owned(), at: number(at)?, count: number(count)? }
            }
            ["claim", path, asked @ ..] => {
                Self::Claim { path: (*path).to_owned(), terms: terms(asked)? }
            }
            ["release", path] => Self::Release { path: (*path).to_owned() },
            ["give", path, to] => Self::Give { path: (*path).to_owned(), to: (*to).to_owned() },
            ["owner", path] => Self::Owner { path: (*path).to_owned() },
            ["say", name, text @ ..] => {
                Self::Say { name: (*name).to_owned(), text: text.join(" ") }
            }
            ["room"] => Self::Room,
            ["presence", key, value @ ..] => Self::Presence {
                key: (*key).to_owned(),
                value: (!value.is_empty()).then(|| value.join(" ")),
            },
            ["shout", name, text @ ..] => {
                Self::Shout { name: (*name).to_owned(), text: text.join(" ") }
            }
            ["tell", to, name, text @ ..] => {
                Self::Tell { to: (*to).to_owned(), name: (*name).to_owned(), text: text.join(" ") }
            }
            ["watch"] => Self::Watch,
            ["members"] => Self::Members,
            ["stats"] => Self::Statistics,
            ["wait" | "save"] => Self::Wait,
            ["help" | "?"] => Self::Help,
            ["quit" | "exit"] => Self::Quit,
            words => Self::Ask(request(words)?),
        })
    }
}

/// What is asked of the relay about the room.
fn request(words: &[&str]) -> Result<Request, String> {
    Ok(match words {
        ["describe", text @ ..] => Request::Describe(text.join(" ")),
        ["data", key] => Request::Put { key: (*key).to_owned(), value: None },
        ["data", key, value @ ..] => {
            Request::Put { key: (*key).to_owned(), value: Some(value.join(" ")) }
        }
        ["capacity", count] => Request::SetCapacity(number(count)?),
        ["list"] => Request::SetListed(true),
        ["unlist"] => Request::SetListed(false),
        ["lock"] => Request::Lock(true),
        ["unlock"] => Request::Lock(false),
        ["policy", who] => {
            let who = Who::from_str(who, true).map_err(|_| usage("policy"))?;
            Request::SetPolicy(who.into())
        }
        ["password"] => Request::SetPassword(None),
        ["password", text @ ..] => Request::SetPassword(Some(text.join(" "))),
        ["invite"] => Request::Invite { peer: None, uses: 1, valid: DAY },
        ["invite", to] => Request::Invite { peer: Some(peer(to)?), uses: 1, valid: DAY },
        ["kick", who] => Request::Kick { peer: peer(who)?, ban: MINUTE },
        ["kick", who, seconds] => {
            Request::Kick { peer: peer(who)?, ban: Duration::from_secs(number(seconds)?) }
        }
        ["pardon", who] => Request::Pardon(peer(who)?),
        ["owner-is", who] => Request::HandOver(peer(who)?),
        [command, ..] => return Err(usage(command)),
        [] => return Err("nothing is asked".to_owned()),
    })
}

fn peer(word: &str) -> Result<PeerId, String> {
    word.parse().map_err(|error: PeerIdError| error.to_string())
}

/// How a command is written.
fn usage(command: &str) -> String {
    let mut lines = HELP.lines();
    match lines.find(|line| line.split(' ').next() == Some(command)) {
        Some(line) => {
            let usage = line.split("  ").next().unwrap_or(line);
            format!("`{command}` is written like this: {usage}")
        }
        None => format!("there is no command `{command}`: `help` lists them"),
    }
}

/// The terms of a claim, in words.
fn terms(words: &[&str]) -> Result<Terms, String> {
    words.iter().try_fold(Terms::default(), |terms, word| {
        Ok(match *word {
            "exclusive" | "fixed" if terms.mode != Mode::Instant => {
                return Err("a claim is exclusive or fixed: name one of them".to_owned());
            }
            "exclusive" => Terms { mode: Mode::Exclusive, ..terms },
            "fixed" => Terms { mode: Mode::Fixed, ..terms },
            "protected" => Terms { prevent_takeover: true, ..terms },
            "destroy" => Terms { destroy_with_owner: true, ..terms },
            _ => return Err(format!("`{word}` is no term of a claim: {}", usage("claim"))),
        })
    })
}

fn number<N: std::str::FromStr>(word: &str) -> Result<N, String> {
    word.parse().map_err(|_| format!("`{word}` is not a number that fits here"))
}

/// Divides a line at its spaces. Within "double quotes" `\n`, `\t`, `\"` and `\\` stand for a line
/// end, a tab, a quote and a backslash; within 'single quotes' everything stands for itself.
pub(super) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted(&mut characters, word.get_or_insert_default())?,
            '\'' => {
                let into = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(character) => into.push(character),
                        None => return Err("a ' is not closed".to_owned()),
                    }
                }
            }
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(characters: &mut impl Iterator<Item = char>, into: &mut String) -> Result<(), String> {
    loop {
        into.push(match characters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(character) => character,
                None => return Err("a \" is not closed".to_owned()),
            },
            Some(character) => character,
            None => return Err("a \" is not closed".to_owned()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        let line = r#"text notes insert 0 "a \"b\"\n" 'c "d"' name="e f""#;
        let expected = ["text", "notes", "insert", "0", "a \"b\"\n", "c \"d\"", "name=e f"];
        assert_eq!(words(line).unwrap(), expected);
        assert!(words("set a \"b").is_err());
    }

    #[test]
    fn a_claim_has_its_terms_in_any_order() {
        let terms = Terms { mode: Mode::Exclusive, destroy_with_owner: true, ..Terms::default() };
        let path = "players/ann".to_owned();
        let claim = Command::Claim { path, terms };
        assert_eq!(Command::parse("claim players/ann destroy exclusive").unwrap(), claim);
        assert!(Command::parse("claim players/ann fixed exclusive").is_err());
        let wrong = Command::parse("claim players/ann forever").unwrap_err();
        assert!(
            wrong.starts_with("`forever` is no term of a claim: `claim` is written"),
            "{wrong}"
        );
    }

    #[test]
    fn a_wrong_command_is_told_how_it_is_written() {
        let wrong = Command::parse("remove").unwrap_err();
        assert_eq!(wrong, "`remove` is written like this: remove PATH");
        assert!(Command::parse("fly").unwrap_err().contains("help"));
    }
}
