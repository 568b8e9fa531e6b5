//! **G9**: claims and grants are what they say, and grants are their relay's.

use crate::proto::change::{Action, Change, Key, Operation};
use crate::proto::id::PeerId;
use crate::proto::ownership::{CLAIMS, Claim, Grant, META, RESERVED, from_value};
use crate::proto::reason::ChangeFault;
use crate::proto::table::{ObjectIndex, Places, Table};
use crate::proto::wire::message::Made;

/// Whether everything that a change of `author`'s does to claims and grants may be done by it. The
/// operations count as checked, and `places` as where they stand.
///
/// # Errors
///
/// When it writes another relay's grants, or what is no claim where claims are.
pub fn check_claims(
    table: &Table,
    change: &Change,
    places: &Places,
    author: PeerId,
) -> Result<(), ChangeFault> {
    for (operation, place) in change.operations.iter().zip(places) {
        if place.object == ObjectIndex::ROOT
            && matches!(&operation.key, Key::Map(key) if key.as_str() == META)
        {
            // The map that stands there, or will, is well known: what wins beside it would hide
            // everything in it.
            return Err(ChangeFault::WrongPlace);
        }
        // What the change itself makes can be none of them: they are well known.
        if place.object < table.next_object(0)
            && let Some(below) = table.path(place.object).as_str().strip_prefix(META)
        {
            check(operation, below, author)?;
        }
    }
    Ok(())
}

/// Whether something well known may stand under a key of an object: of what is reserved for claims and
/// grants only the maps themselves, so that nothing takes their place, or that of what is in them.
#[must_use]
pub fn may_be_known(table: &Table, object: ObjectIndex, key: &str, made: &Made) -> bool {
    let below = table.path(object).as_str();
    if object == ObjectIndex::ROOT && key == META {
        return matches!(made, Made::Map);
    }
    match below.strip_prefix(META) {
        Some("") => !key.starts_with(RESERVED) || matches!(made, Made::Map),
        Some(below) => !below.strip_prefix('/').is_some_and(|name| name.starts_with(RESERVED)),
        None => true,
    }
}

fn check(operation: &Operation, below: &str, author: PeerId) -> Result<(), ChangeFault> {
    let Key::Map(key) = &operation.key else {
        return Ok(());
    };
    if below.is_empty() {
        let reserved = key.starts_with(RESERVED);
        return if reserved { Err(ChangeFault::Forged) } else { Ok(()) };
    }
    let Some(name) = below.strip_prefix('/').filter(|name| name.starts_with(RESERVED)) else {
        return Ok(());
    };
    if name == CLAIMS {
        let claims =
            matches!(&operation.action, Action::Put(value) if from_value::<Claim>(value).is_some());
        return if claims { Ok(()) } else { Err(ChangeFault::WrongOperation) };
    }
    if name.strip_prefix(RESERVED) != Some(author.to_string().as_str()) {
        return Err(ChangeFault::Forged);
    }
    let grants = match &operation.action {
        Action::Put(value) => from_value::<Grant>(value).is_some(),
        Action::Delete => true,
        Action::Counter(_) | Action::MakeMap | Action::MakeText | Action::Increment(_) => false,
    };
    if grants { Ok(()) } else { Err(ChangeFault::WrongOperation) }
}
