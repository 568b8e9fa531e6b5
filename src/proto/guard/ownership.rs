//! **G9**: claims and grants are what they say, and grants are their relay's.

use crate::proto::change::{Action, Change, Key, Operation};
use crate::proto::id::PeerId;
use crate::proto::ownership::{CLAIMS, Claim, Grant, META, RESERVED, from_value};
use crate::proto::reason::ChangeFault;
use crate::proto::table::{Places, Table};

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
        // What the change itself makes can be none of them: they are well known.
        if place.object < table.next_object(0)
            && let Some(below) = table.path(place.object).as_str().strip_prefix(META)
        {
            check(operation, below, author)?;
        }
    }
    Ok(())
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
        return match &operation.action {
            Action::Put(value) if from_value::<Claim>(value).is_some() => Ok(()),
            _ => Err(ChangeFault::WrongOperation),
        };
    }
    if name.strip_prefix(RESERVED) != Some(author.to_string().as_str()) {
        return Err(ChangeFault::Forged);
    }
    match &operation.action {
        Action::Put(value) if from_value::<Grant>(value).is_some() => Ok(()),
        Action::Delete => Ok(()),
        _ => Err(ChangeFault::WrongOperation),
    }
}
