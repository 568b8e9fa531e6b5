//! `parlor lobby`: what a relay says of rooms to who is in none.

use comfy_table::{Table, presets};
use parlor::proto::id::RoomName;
use parlor::{Door, Page, Policy, Record, RequestError, RoomId, Seat};
use serde_json::{Value as Json, json};

use crate::arguments::{LobbyArguments, PeerArguments, Question};
use crate::failure::Failure;
use crate::output::Output;

/// Asks, and tells the answer.
pub(crate) async fn run(arguments: &LobbyArguments) -> Result<(), Failure> {
    let token = || arguments.token.token();
    match &arguments.question {
        Question::List { page, size, peer } => {
            let answer = peer.lobby(token())?.list(*page, *size).await;
            list(&output(peer), &answer.map_err(failed)?)
        }
        Question::Show { room, peer } => {
            let mut lobby = peer.lobby(token())?;
            let record = match room.parse::<RoomId>() {
                Ok(id) => lobby.find(id).await,
                Err(_) => lobby.peek(&RoomName::new(room).map_err(Failure::usage)?).await,
            };
            let record = record.map_err(failed)?;
            output(peer).tell(&object(&record), lines(&record))
        }
        Question::Match { group, capacity, peer } => {
            let seat = peer.lobby(token())?.seat(group, *capacity).await.map_err(failed)?;
            tell_seat(&output(peer), &seat)
        }
    }
}

const fn output(peer: &PeerArguments) -> Output {
    Output { json: peer.common.json }
}

fn failed(error: RequestError) -> Failure {
    Failure::failed(error)
}

fn list(output: &Output, page: &Page) -> Result<(), Failure> {
    let rooms: Vec<Json> = page
        .rooms
        .iter()
        .map(|card| {
            json!({
                "name": card.name.as_str(),
                "members": card.members,
                "capacity": card.capacity,
                "description": card.description,
                "door": door(card.door),
            })
        })
        .collect();
    let object =
        json!({ "page": page.page, "total": page.total, "more": page.more, "rooms": rooms });
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["room", "members", "door", "what it is"]);
    for card in &page.rooms {
        let members = format!("{} of {}", card.members, card.capacity);
        table.add_row([card.name.as_str(), &members, door(card.door), &card.description]);
    }
    let shown = page.rooms.len();
    let more = if page.more { "; the next page has more" } else { "" };
    output.tell(&object, format_args!("{table}\n{shown} of {} rooms{more}", page.total))
}

fn tell_seat(output: &Output, seat: &Seat) -> Result<(), Failure> {
    let object = json!({
        "room": seat.room.as_str(),
        "code": seat.code.to_string(),
        "capacity": seat.capacity,
        "fresh": seat.fresh,
        "held_ms": u64::try_from(seat.held.as_millis()).unwrap_or(u64::MAX),
    });
    let text = format!(
        "{} (code {}), held for {} s: join it as the same identity",
        seat.room,
        seat.code,
        seat.held.as_secs()
    );
    output.tell(&object, text)
}

const fn door(door: Door) -> &'static str {
    match door {
        Door::Open => "open",
        Door::Inside => "inside",
        Door::Password => "password",
        Door::Invited => "invited",
        Door::Full => "full",
        Door::Closed => "closed",
        Door::Banned => "banned",
    }
}

const fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::Everyone => "everyone",
        Policy::Invited => "invited",
        Policy::Nobody => "nobody",
    }
}

/// What a room is, for programs.
pub(crate) fn object(record: &Record) -> Json {
    json!({
        "room": record.name.as_str(),
        "id": record.id.to_string(),
        "members": record.members,
        "capacity": record.capacity,
        "owner": record.owner.map(|owner| owner.to_string()),
        "listed": record.listed,
        "locked": record.locked,
        "password": record.password,
        "policy": policy(record.policy),
        "group": record.group.as_ref().map(|(group, _)| group.as_str()),
        "code": record.group.as_ref().map(|(_, code)| code.to_string()),
        "description": record.description,
        "data": record.data,
    })
}

/// What a room is, for a person.
pub(crate) fn lines(record: &Record) -> String {
    let owner = record.owner.map_or_else(|| "nobody".to_owned(), |owner| owner.to_string());
    let mut lines = vec![
        format!("{} ({})", record.name, record.id),
        format!("{} of {} members; owner: {owner}", record.members, record.capacity),
        format!("lets in: {}", policy(record.policy)),
    ];
    for (is_so, what) in [
        (record.listed, "it is in lists"),
        (record.locked, "it is locked"),
        (record.password, "it has a password"),
    ] {
        lines.extend(is_so.then(|| what.to_owned()));
    }
    if let Some((group, code)) = &record.group {
        lines.push(format!("code {code} of group {group}"));
    }
    if !record.description.is_empty() {
        lines.push(record.description.clone());
    }
    lines.extend(record.data.iter().map(|(key, value)| format!("{key} = {value}")));
    lines.join("\n")
}
