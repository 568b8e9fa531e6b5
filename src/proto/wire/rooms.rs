//! What is said of rooms, as applications know it, and as it goes over the wire.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bounded::{Line, List};
use super::message::{
    AnswerRecord, Asked, CardRecord, DataList, OpeningRecord, RequestRecord, RoomRecord, VoiceAsked,
};
use crate::proto::id::{AppId, RoomId, RoomName};
use crate::proto::proof::PasswordKey;
use crate::proto::reason::RequestError;
use crate::proto::service::{Answer, Card, Group, Opening, Page, Record, Request, Seat};

/// A text as it goes over the wire.
///
/// # Errors
///
/// When it is longer than can be said.
pub fn line<const MAX: usize>(text: &str) -> Result<Line<MAX>, RequestError> {
    Line::new(text).ok_or(RequestError::TooLong { limit: MAX, size: text.len() })
}

/// What a room is to be like, of an application and a name.
///
/// # Errors
///
/// When a text is longer than can be said, or there are too many.
pub fn opening(
    opening: &Opening,
    app: AppId,
    room: &RoomName,
) -> Result<OpeningRecord, RequestError> {
    Ok(OpeningRecord {
        capacity: opening.capacity.unwrap_or(0),
        listed: opening.listed,
        description: line(&opening.description)?,
        data: data(&opening.data)?,
        policy: opening.policy,
        password: opening.password.as_deref().map(|text| PasswordKey::of(app, room, text).0),
    })
}

fn data(data: &BTreeMap<String, String>) -> Result<DataList, RequestError> {
    let (limit, size) = (DataList::MAX, data.len());
    if size > limit {
        return Err(RequestError::TooLong { limit, size });
    }
    let pairs: Result<Vec<_>, RequestError> =
        data.iter().map(|(key, value)| Ok((line(key)?, line(value)?))).collect();
    Ok(List::of(pairs?))
}

/// A request of a peer that is in a room, or in none.
///
/// # Errors
///
/// When a text is longer than can be said.
pub fn request(
    request: &Request,
    app: AppId,
    room: Option<&RoomName>,
) -> Result<RequestRecord, RequestError> {
    Ok(match request {
        Request::Describe(description) => RequestRecord::Describe(line(description)?),
        Request::Put { key, value } => {
            RequestRecord::Put(line(key)?, value.as_deref().map(line).transpose()?)
        }
        Request::SetCapacity(capacity) => RequestRecord::Capacity(*capacity),
        Request::SetListed(listed) => RequestRecord::Listed(*listed),
        Request::Lock(lock) => RequestRecord::Lock(*lock),
        Request::SetPolicy(policy) => RequestRecord::Policy(*policy),
        Request::SetPassword(password) => {
            let key = |(text, room): (&str, _)| PasswordKey::of(app, room, text).0;
            RequestRecord::Password(password.as_deref().zip(room).map(key))
        }
        Request::HandOver(peer) => RequestRecord::HandOver(*peer),
        Request::Kick { peer, ban } => RequestRecord::Kick(*peer, seconds(*ban)),
        Request::Pardon(peer) => RequestRecord::Pardon(*peer),
        Request::Invite { peer, uses, valid } => {
            RequestRecord::Invite(*peer, *uses, seconds(*valid))
        }
        Request::Withdraw(invite) => RequestRecord::Withdraw(*invite),
        Request::List { page, size } => RequestRecord::List { page: *page, size: *size },
        Request::Find(id) => RequestRecord::Find(*id),
        Request::Peek(name) => RequestRecord::Peek(line(name.as_str())?),
        Request::Match { group, capacity } => {
            RequestRecord::Match(line(group.as_str())?, *capacity)
        }
        Request::Silence { peer, silenced } => RequestRecord::Silence(*peer, *silenced),
        Request::Renew(token) => RequestRecord::Renew(line(token)?),
    })
}

/// About how many bytes something takes that a peer says.
#[must_use]
pub fn size(asked: &Asked) -> usize {
    let texts = match asked {
        Asked::Request { request: RequestRecord::Describe(text), .. } => text.len(),
        Asked::Request { request: RequestRecord::Put(key, value), .. } => {
            key.len().saturating_add(value.as_ref().map_or(0, |value| value.len()))
        }
        Asked::Request { request: RequestRecord::Peek(text), .. } => text.len(),
        Asked::Request { request: RequestRecord::Renew(text), .. } => text.len(),
        Asked::Request { .. } => 0,
        Asked::Presence { key, value, .. } => {
            key.len().saturating_add(value.as_ref().map_or(0, |value| value.len()))
        }
        Asked::Voice(VoiceAsked::Hear(hearing)) => hearing.but.len().saturating_mul(33),
        Asked::Voice(VoiceAsked::Report(reports)) => reports.len().saturating_mul(8),
        Asked::Voice(_) | Asked::Keep { .. } => 0,
    };
    texts.saturating_add(64)
}

/// Whole seconds, rounded up.
#[must_use]
pub fn seconds(duration: Duration) -> u32 {
    let up = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    u32::try_from(up).unwrap_or(u32::MAX)
}

/// A room of an application; nothing if its name, or its group's, is none.
#[must_use]
pub fn record(record: RoomRecord, app: AppId) -> Option<Record> {
    let name = name(&record.name)?;
    let group = match record.group {
        Some((group, code)) => Some((Group::new(&group).ok()?, code)),
        None => None,
    };
    let pair = |(key, value): &(Line<256>, Line<4_096>)| (key.to_string(), value.to_string());
    Some(Record {
        id: RoomId::of(app, &name),
        name,
        members: record.members,
        capacity: record.capacity,
        owner: record.owner,
        listed: record.listed,
        locked: record.locked,
        password: record.password,
        policy: record.policy,
        group,
        description: record.description.to_string(),
        data: record.data.iter().map(pair).collect(),
    })
}

/// An answer to a peer of an application; nothing if a name in it is none.
#[must_use]
pub fn answer(answer: AnswerRecord, app: AppId) -> Option<Answer> {
    Some(match answer {
        AnswerRecord::Done => Answer::Done,
        AnswerRecord::Invite(invite) => Answer::Invite(invite),
        AnswerRecord::Page { page, total, more, rooms } => {
            let rooms = rooms.into_vec().into_iter().map(card).collect::<Option<_>>()?;
            Answer::Page(Page { page, total, more, rooms })
        }
        AnswerRecord::Room(room) => Answer::Room(Box::new(record(room, app)?)),
        AnswerRecord::Seat { group, code, capacity, fresh, held_ms } => Answer::Seat(Seat {
            room: Group::new(&group).ok()?.room(code),
            code,
            capacity,
            fresh,
            held: Duration::from_millis(u64::from(held_ms)),
        }),
    })
}

fn card(card: CardRecord) -> Option<Card> {
    let name = name(&card.name)?;
    let CardRecord { members, capacity, description, door, .. } = card;
    Some(Card { name, members, capacity, description: description.to_string(), door })
}

/// A name that is its own normal form.
fn name(text: &str) -> Option<RoomName> {
    RoomName::new(text).ok().filter(|name| name.as_str() == text)
}
