//! How many operations a change claims, before automerge takes its word for it.
//!
//! The columns of a change are run-length coded: a few bytes can claim any number of rows, and
//! automerge expands them one by one. Here they are only counted. What is read is what automerge
//! 0.12 reads; whatever it would go through row by row is bounded, and the rest is left to it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use std::cmp::Ordering;

use crate::proto::reason::ChangeFault;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHECKSUM: u64 = 4;
const CHANGE: u8 = 1;
const HASH: u64 = 32;

/// The most columns that a change may have; automerge writes at most 14.
const MAX_COLUMNS: u64 = 32;

/// How many predecessors there may be for each operation that a change may have.
const PREDECESSORS_EACH: u64 = 4;

/// The specification of the column with one row for each operation: its action.
const ACTIONS: u32 = (4 << 4) | 2;

/// The number of the columns of predecessors.
const PREDECESSORS: u32 = 7;

/// How many operations a change claims to have, if neither they nor the rows of any other column
/// are more than `limit`, nor its predecessors more than four times that. The change is a whole
/// chunk that is not compressed; its checksum is not looked at. Costs the length of the chunk,
/// whatever it claims.
///
/// # Errors
///
/// When it claims more, or its bytes are not what a change is made of.
pub fn operations(chunk: &[u8], limit: usize) -> Result<usize, ChangeFault> {
    let mut reader = Reader(chunk);
    let magic = reader.take(MAGIC.len() as u64)?;
    reader.take(CHECKSUM)?;
    if magic.0 != MAGIC || reader.byte()? != CHANGE {
        return Err(ChangeFault::Malformed);
    }
    let length = reader.unsigned()?;
    let mut body = reader.take(length)?;
    if !reader.is_empty() {
        return Err(ChangeFault::Malformed);
    }
    skip_to_columns(&mut body)?;
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    usize::try_from(count(body, limit)?).map_err(|_| ChangeFault::TooLarge)
}

/// Reads on past everything in front of the columns.
fn skip_to_columns(body: &mut Reader<'_>) -> Result<(), ChangeFault> {
    let deps = body.unsigned()?;
    body.take(deps.checked_mul(HASH).ok_or(ChangeFault::Malformed)?)?;
    body.prefixed()?; // actor
    body.unsigned()?; // sequence number
    body.unsigned()?; // first operation
    body.signed()?; // time
    body.prefixed()?; // message
    for _ in 0..body.unsigned()? {
        body.prefixed()?; // another actor, of at least one byte: this ends with the body
    }
    Ok(())
}

/// Counts the rows of every column; returns those of the actions.
fn count(mut heads: Reader<'_>, limit: u64) -> Result<u64, ChangeFault> {
    let columns = heads.unsigned()?;
    if columns > MAX_COLUMNS {
        return Err(ChangeFault::Malformed);
    }
    let mut data = heads;
    for _ in 0..columns {
        data.unsigned()?;
        data.unsigned()?;
    }
    let mut operations = 0;
    let mut last = None;
    for _ in 0..columns {
        let spec = u32::try_from(heads.unsigned()?).map_err(|_| ChangeFault::Malformed)?;
        let length = heads.unsigned()?;
        // Ascending, each once: automerge looks for it as well.
        if last.replace(spec).is_some_and(|last| last >= spec) {
            return Err(ChangeFault::Malformed);
        }
        let rows = column(spec, data.take(length)?, limit)?;
        if spec == ACTIONS {
            operations = rows;
        }
    }
    Ok(operations)
}

/// The rows of a column.
fn column(spec: u32, data: Reader<'_>, limit: u64) -> Result<u64, ChangeFault> {
    let grouped = limit.saturating_mul(PREDECESSORS_EACH);
    let most = if spec >> 4 == PREDECESSORS && spec & 0xf != 0 { grouped } else { limit };
    match spec & 0xf {
        // A group: each value is how many rows of the group's other columns belong to its row.
        0 => runs(data, most, grouped, Reader::unsigned),
        // Numbers: actors, counters and actions, and what kind of values there are.
        1 | 2 | 6 => runs(data, most, 0, |data| data.unsigned().map(|_| 0)),
        // Numbers, each as its difference from the one before.
        3 => runs(data, most, 0, |data| data.signed().map(|_| 0)),
        4 => booleans(data, most),
        // Strings.
        5 => runs(data, most, 0, |data| data.prefixed().map(|_| 0)),
        // Values, as long as their kinds say: nothing is repeated.
        7 => Ok(0),
        // The bit for columns that are compressed.
        _ => Err(ChangeFault::Malformed),
    }
}

/// The rows of a column of runs: a length and the value that is repeated, a negative length and as
/// many values, or zero and how often nothing is repeated. `weight` reads a value and returns its
/// weight, and the weights of all rows together are at most `heaviest`.
fn runs<'a>(
    mut data: Reader<'a>,
    most: u64,
    heaviest: u64,
    weight: impl Fn(&mut Reader<'a>) -> Result<u64, ChangeFault>,
) -> Result<u64, ChangeFault> {
    let (mut rows, mut weights) = (0, 0);
    while !data.is_empty() {
        let head = data.signed()?;
        let length = if head == 0 { data.unsigned()? } else { head.unsigned_abs() };
        rows = sum(rows, length, most)?;
        match head.cmp(&0) {
            Ordering::Equal => {}
            Ordering::Greater => {
                let each = weight(&mut data)?;
                let run = each.checked_mul(length).ok_or(ChangeFault::TooLarge)?;
                weights = sum(weights, run, heaviest)?;
            }
            // Each has at least one byte: this ends with the column.
            Ordering::Less => {
                for _ in 0..length {
                    weights = sum(weights, weight(&mut data)?, heaviest)?;
                }
            }
        }
    }
    Ok(rows)
}

/// The rows of a column of booleans: how many are false, then true, then false again.
fn booleans(mut data: Reader<'_>, most: u64) -> Result<u64, ChangeFault> {
    let mut rows = 0;
    while !data.is_empty() {
        rows = sum(rows, data.unsigned()?, most)?;
    }
    Ok(rows)
}

fn sum(before: u64, more: u64, most: u64) -> Result<u64, ChangeFault> {
    let sum = before.checked_add(more).ok_or(ChangeFault::TooLarge)?;
    if sum > most { Err(ChangeFault::TooLarge) } else { Ok(sum) }
}

/// The bytes that are not read yet.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> Result<u8, ChangeFault> {
        let (&byte, rest) = self.0.split_first().ok_or(ChangeFault::Malformed)?;
        self.0 = rest;
        Ok(byte)
    }

    fn take(&mut self, length: u64) -> Result<Self, ChangeFault> {
        let length = usize::try_from(length).map_err(|_| ChangeFault::Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ChangeFault::Malformed)?;
        self.0 = rest;
        Ok(Self(taken))
    }

    /// As many bytes as a number in front of them says.
    fn prefixed(&mut self) -> Result<Self, ChangeFault> {
        let length = self.unsigned()?;
        self.take(length)
    }

    /// A number in LEB128. One of more bytes than it needs is taken, as automerge takes it.
    fn unsigned(&mut self) -> Result<u64, ChangeFault> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ChangeFault::Malformed)
    }

    /// The same with a sign: the last byte's highest bit of seven, extended.
    fn signed(&mut self) -> Result<i64, ChangeFault> {
        let mut number = 0;
        for shift in (0..i64::BITS).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte != 0 && byte != 0x7f {
                break;
            }
            number |= i64::from(byte & 0x7f).wrapping_shl(shift);
            if byte & 0x80 == 0 {
                let sign = if byte & 0x40 == 0 { 0 } else { -1_i64 };
                return Ok(number | sign.checked_shl(shift.saturating_add(7)).unwrap_or(0));
            }
        }
        Err(ChangeFault::Malformed)
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a test may panic, and its numbers are small or cut on purpose"
    )]

    use std::panic::catch_unwind;

    use automerge::marks::{ExpandMark, Mark};
    use automerge::transaction::Transactable;
    use automerge::{ActorId, AutoCommit, Change, ObjType, ReadDoc, ScalarValue};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::proto::authorship::Scope;
    use crate::proto::config::Limits;
    use crate::proto::id::{AppKey, DocumentId, RoomName};
    use crate::proto::log::ChangeLog;

    const LIMIT: usize = 20_000;
    const KEYS: u32 = (1 << 4) | 5;
    const INSERTS: u32 = (3 << 4) | 4;
    const KINDS: u32 = (5 << 4) | 6;
    const GROUPS: u32 = PREDECESSORS << 4;

    fn unsigned(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    fn signed(mut number: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !(-64..64).contains(&number) {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push((number & 0x7f) as u8);
        bytes
    }

    fn run(length: i64, value: &[u8]) -> Vec<u8> {
        [signed(length), value.to_vec()].concat()
    }

    fn chunk(body: &[u8]) -> Vec<u8> {
        let hashed = [vec![CHANGE], unsigned(body.len() as u64), body.to_vec()].concat();
        [&MAGIC, &Sha256::digest(&hashed)[..4], &hashed].concat()
    }

    /// A change without dependencies that has these columns.
    fn change(columns: &[(u32, Vec<u8>)]) -> Vec<u8> {
        let mut body = vec![0, 1, 7, 1, 1, 0, 0, 0, columns.len() as u8];
        for (spec, data) in columns {
            body.extend([unsigned(u64::from(*spec)), unsigned(data.len() as u64)].concat());
        }
        columns.iter().for_each(|(_, data)| body.extend(data));
        chunk(&body)
    }

    /// A change that puts nothing at a key, again and again.
    fn claim(operations: i64) -> Vec<u8> {
        change(&[
            (KEYS, run(operations, b"\x01k")),
            (INSERTS, unsigned(operations as u64)),
            (ACTIONS, run(operations, &[1])),
            (KINDS, run(operations, &[0])),
            (GROUPS, run(operations, &[0])),
        ])
    }

    #[test]
    fn a_claim_is_counted_and_not_expanded() {
        for honest in [1, 63, 64, 1_000, LIMIT as i64] {
            let bytes = claim(honest);
            assert_eq!(operations(&bytes, LIMIT), Ok(honest as usize));
            assert_eq!(Change::try_from(&bytes[..]).unwrap().len(), honest as usize);
        }
        let scope = Scope::first(AppKey::new("key").unwrap().app(), RoomName::new("room").unwrap());
        let log = ChangeLog::new(scope, DocumentId::MODELS, Limits::default());
        for dishonest in [LIMIT as i64 + 1, 10_000_000, 1_000_000_000_000, i64::MAX] {
            let bytes = claim(dishonest);
            assert!(bytes.len() < 100);
            assert_eq!(operations(&bytes, LIMIT), Err(ChangeFault::TooLarge));
            assert_eq!(log.read(&bytes).err(), Some(ChangeFault::TooLarge));
        }
    }

    #[test]
    fn no_column_claims_more_than_another() {
        let (many, most) = (1_000_000_000_000, u64::MAX);
        let column = |spec: u32, data: Vec<u8>| operations(&change(&[(spec, data)]), LIMIT);
        for spec in (0..160).filter(|spec| spec & 8 == 0 && spec & 7 != 7) {
            let claims = match spec & 7 {
                4 => [unsigned(many), unsigned(most), [unsigned(1), unsigned(most)].concat()],
                _ => [
                    run(many as i64, &[1, 1]),
                    [signed(0), unsigned(most)].concat(),
                    run(i64::MIN, &[1]),
                ],
            };
            for claim in claims {
                assert_eq!(column(spec, claim), Err(ChangeFault::TooLarge), "{spec}");
            }
        }
        // Few operations with many predecessors.
        let (group, each) = (|data: Vec<u8>| column(GROUPS, data), PREDECESSORS_EACH);
        assert_eq!(group(run(1, &unsigned(LIMIT as u64 * each))), Ok(0));
        assert_eq!(group(run(LIMIT as i64, &unsigned(each))), Ok(0));
        let some = [
            run(1, &unsigned(LIMIT as u64 * each + 1)),
            run(LIMIT as i64, &unsigned(each + 1)),
            run(2, &unsigned(most)),
            run(-2, &[unsigned(most), unsigned(1)].concat()),
        ];
        for data in some {
            assert_eq!(group(data), Err(ChangeFault::TooLarge));
        }
        let of_predecessors = |rows: u64| column(GROUPS | 1, run(rows as i64, &[0]));
        assert_eq!(of_predecessors(LIMIT as u64 * each), Ok(0));
        assert_eq!(of_predecessors(LIMIT as u64 * each + 1), Err(ChangeFault::TooLarge));
    }

    #[test]
    fn what_is_no_change_is_refused() {
        let actions = || run(1, &[1]);
        let refused = [
            // Compressed; not ascending; twice; no specification; too many.
            change(&[(ACTIONS | 8, actions())]),
            change(&[(KINDS, actions()), (ACTIONS, actions())]),
            change(&[(ACTIONS, actions()), (ACTIONS, actions())]),
            change(&(0..33).map(|spec| (spec << 4, Vec::new())).collect::<Vec<_>>()),
            // A key that is longer than its column, more values than there are, half a number.
            change(&[(KEYS, run(1, &unsigned(1_000_000_000)))]),
            change(&[(ACTIONS, run(-2, &[1]))]),
            change(&[(ACTIONS, vec![0x80])]),
            change(&[(ACTIONS, [0xff; 11].to_vec())]),
            // Dependencies, other actors and columns that are not there.
            chunk(&[&unsigned(u64::MAX)[..], &[0; 64]].concat()),
            chunk(&[&[0, 1, 7, 1, 1, 0, 0][..], &unsigned(u64::MAX)].concat()),
            chunk(&[0, 1, 7, 1, 1, 0, 0, 0, 1, ACTIONS as u8, 200]),
            [claim(1), vec![0]].concat(),
        ];
        for bytes in refused {
            assert_eq!(operations(&bytes, LIMIT), Err(ChangeFault::Malformed), "{bytes:?}");
        }
        let bytes = claim(1_000);
        for length in 0..bytes.len() {
            assert_eq!(operations(&bytes[..length], LIMIT), Err(ChangeFault::Malformed));
        }
        // Bytes behind the columns are for those who come later.
        assert_eq!(operations(&chunk(&[0, 1, 7, 1, 1, 0, 0, 0, 0, 9, 9]), LIMIT), Ok(0));
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Value(String, ScalarValue),
        Increment(String, i64),
        Delete(String),
        Splice(usize, isize, String),
        Mark(usize, usize),
        Many(String, u16),
        /// All changes end; the others' arrive.
        Merge,
    }

    fn value() -> impl Strategy<Value = ScalarValue> {
        prop_oneof![
            any::<i64>().prop_map(ScalarValue::Int),
            any::<f64>().prop_map(ScalarValue::F64),
            any::<String>().prop_map(ScalarValue::from),
            vec(any::<u8>(), 0..300).prop_map(ScalarValue::Bytes),
            Just(ScalarValue::counter(1)),
        ]
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let key = "[0-3]";
        prop_oneof![
            (key, value()).prop_map(|(key, value)| Edit::Value(key, value)),
            (key, -9..9_i64).prop_map(|(key, by)| Edit::Increment(key, by)),
            key.prop_map(Edit::Delete),
            (0..50_usize, 0..5_isize, any::<String>())
                .prop_map(|(at, delete, text)| Edit::Splice(at, delete, text)),
            (0..50_usize, 1..9_usize).prop_map(|(at, length)| Edit::Mark(at, length)),
            (key, 1..2_000_u16).prop_map(|(key, count)| Edit::Many(key, count)),
            Just(Edit::Merge),
        ]
    }

    /// Edits that automerge refuses are not made.
    fn make(document: &mut AutoCommit, text: &automerge::ObjId, edit: &Edit) {
        let root = &automerge::ROOT;
        let length = document.length(text);
        let _refused = match edit {
            Edit::Value(key, value) => document.put(root, key, value.clone()),
            Edit::Increment(key, by) => document.increment(root, key, *by),
            Edit::Delete(key) => document.delete(root, key),
            Edit::Splice(at, delete, words) => {
                document.splice_text(text, *at.min(&length), *delete, words)
            }
            Edit::Mark(at, long) => document.mark(
                text,
                Mark::new("bold".into(), true, *at, at + long),
                ExpandMark::Both,
            ),
            Edit::Many(key, count) => {
                (0..*count).try_for_each(|value| document.put(root, key, u64::from(value)))
            }
            Edit::Merge => Ok(()),
        };
    }

    /// The changes of some who edit one document.
    fn changes(edits: &[(usize, Edit)]) -> Vec<Change> {
        let mut first = AutoCommit::new().with_actor(ActorId::from([0; 16]));
        let text = first.put_object(automerge::ROOT, "text", ObjType::Text).unwrap();
        first.commit();
        let forks = (1..5_u8).map(|actor| first.fork().with_actor(ActorId::from([actor; 16])));
        let mut documents: Vec<_> = forks.collect();
        for (who, edit) in edits {
            if matches!(edit, Edit::Merge) {
                let _changes: Vec<_> = documents.iter_mut().map(AutoCommit::commit).collect();
                let mut others = documents.clone();
                for other in &mut others {
                    documents[*who].merge(other).unwrap();
                }
            }
            make(&mut documents[*who], &text, edit);
        }
        for document in &mut documents {
            first.merge(document).unwrap();
        }
        // All conflicts at once, in one operation each.
        for key in 0..4 {
            first.put(automerge::ROOT, key.to_string(), "settled").unwrap();
        }
        first.get_changes(&[])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn honest_changes_have_as_many_operations_as_are_counted(
            edits in vec((0..4_usize, edit()), 0..60)
        ) {
            for change in changes(&edits) {
                let bytes = change.raw_bytes();
                prop_assert_eq!(operations(bytes, change.len()), Ok(change.len()));
                prop_assert_eq!(operations(bytes, LIMIT), Ok(change.len()));
                if let Some(less) = change.len().checked_sub(1) {
                    prop_assert_eq!(operations(bytes, less), Err(ChangeFault::TooLarge));
                }
            }
        }

        #[test]
        fn no_bytes_panic_and_none_that_are_read_claim_what_was_not_counted(
            edits in vec((0..4_usize, edit()), 0..20),
            length: prop::sample::Index,
            mutations in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            for change in changes(&edits) {
                let bytes = change.raw_bytes();
                let _cut = operations(&bytes[..length.index(bytes.len())], LIMIT);
                let mut bytes = bytes.to_vec();
                for (place, byte) in &mutations {
                    *place.get_mut(&mut bytes[..]) = *byte;
                }
                let counted = operations(&bytes, LIMIT);
                let read = catch_unwind(|| Change::try_from(&bytes[..]));
                if let (Ok(counted), Ok(Ok(change))) = (counted, read) {
                    prop_assert_eq!(counted, change.len());
                }
            }
        }

        #[test]
        fn random_bytes_do_not_panic(body in vec(any::<u8>(), 0..200)) {
            let _counted = operations(&body, LIMIT);
            let _counted = operations(&chunk(&body), LIMIT);
            for spec in 0..8 {
                let _counted = operations(&change(&[(spec, body.clone())]), LIMIT);
            }
        }

        #[test]
        fn numbers_are_read_back(plain: u64, with_sign: i64) {
            prop_assert_eq!(Reader(&unsigned(plain)).unsigned(), Ok(plain));
            prop_assert_eq!(Reader(&signed(with_sign)).signed(), Ok(with_sign));
        }
    }
}
