//! From a base to its columns.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::block::Writer;
use super::shape::{self, Element, Keys};
use super::{Kind, VERSION, floats, integers, strings};
use crate::proto::base::{Base, Content, Row};
use crate::proto::model::value::Value;

/// An object with more keys than this, or with longer ones than [`PROPERTY`], is no record: its
/// values are in one column for each kind.
const RECORD: usize = 64;

/// The longest key of a property: a number of 16 bits.
const PROPERTY: usize = 5;

/// The bytes of a base, as `columns.md` of the specification has them. Costs about as much as
/// deflating all of its values four times.
#[must_use]
pub fn encode(base: &Base) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    written(base).finish(&mut bytes);
    bytes
}

fn written(base: &Base) -> Writer {
    let plan = Plan::new(base);
    let mut out = Writer::default();
    out.unsigned(plan.columns.len());
    for (kind, _) in &plan.columns {
        out.byte(kind.code());
    }
    shape::write(&mut out, &plan.shapes);
    out.unsigned(plan.objects.len());
    integers::write(&mut out, &plan.objects);
    for (kind, values) in &plan.columns {
        write_values(&mut out, *kind, values);
    }
    out
}

fn write_values(out: &mut Writer, kind: Kind, values: &[&Content]) {
    match kind.value {
        super::MAP | super::NULL => {}
        super::BOOL => {
            let bits = values.chunks(8).map(|values| {
                let ones = values.iter().enumerate().map(|(bit, value)| {
                    u8::from(matches!(value, Content::Value(Value::Bool(true)))) << bit
                });
                ones.sum()
            });
            out.block(&bits.collect::<Vec<u8>>());
        }
        super::FLOAT => {
            let bits = values.iter().filter_map(|value| {
                let Content::Value(Value::Float(float)) = value else { return None };
                Some(float.to_bits())
            });
            floats::write(out, &bits.collect::<Vec<_>>());
        }
        super::TEXT | super::BYTES => {
            let strings = values.iter().filter_map(|value| bytes(value));
            strings::write(out, &strings.collect::<Vec<_>>(), kind.value == super::BYTES);
        }
        _ => {
            let numbers = values.iter().filter_map(|value| integer(value));
            integers::write(out, &numbers.collect::<Vec<_>>());
        }
    }
}

const fn bytes(content: &Content) -> Option<&[u8]> {
    let Content::Value(value) = content else { return None };
    match value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Bytes(bytes) => Some(bytes.as_slice()),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_) => None,
    }
}

const fn integer(content: &Content) -> Option<i64> {
    match content {
        Content::Counter(number) | Content::Value(Value::Int(number)) => Some(*number),
        Content::Value(Value::Uint(number)) => Some(number.cast_signed()),
        Content::Value(_) | Content::Map => None,
    }
}

/// Which objects are alike: those at one place, the elements of a collection being at one. Objects
/// of one class that have a key in common share its column.
type Class = u32;

/// A key of an object, what it holds, and the object there.
type Entry<'a> = (&'a Row, Kind, Option<u32>);

/// What a shape follows from: the class, and the keys with what they hold.
type Signature<'a> = (Class, Vec<(&'a str, Kind)>);

/// What is written.
#[derive(Default)]
struct Plan<'a> {
    columns: Vec<(Kind, Vec<&'a Content>)>,
    shapes: Vec<Keys<'a>>,
    /// The shape of each object, in the order in which they are written.
    objects: Vec<i64>,

    /// Columns by class, key (none for what is not a record) and kind.
    numbers: BTreeMap<(Class, Option<&'a str>, Kind), u32>,
    known: BTreeMap<Signature<'a>, usize>,
    classes: BTreeMap<(Class, Option<&'a str>), Class>,
}

impl<'a> Plan<'a> {
    fn new(base: &'a Base) -> Self {
        let mut plan = Plan::default();
        let objects = entries(base);
        // An object, and its class.
        let mut queue: Vec<(u32, Class)> = vec![(0, 0)];
        let mut at = 0;
        while let Some(&(object, class)) = queue.get(at) {
            let entries = objects.get(object as usize).map_or(&[][..], Vec::as_slice);
            plan.object(entries, class, &mut queue);
            at += 1;
        }
        plan
    }

    /// Adds an object, and those that it holds to the queue.
    fn object(&mut self, entries: &[Entry<'a>], class: Class, queue: &mut Vec<(u32, Class)>) {
        let record =
            entries.len() <= RECORD && entries.iter().all(|(row, ..)| row.key.len() <= PROPERTY);
        let keys = entries.iter().map(|(row, kind, _)| (row.key.as_str(), *kind));
        let signature = (class, keys.collect());
        let elements: Vec<Option<Element>> =
            entries.iter().map(|(row, ..)| Element::parse(&row.key)).collect();
        let mut order: Vec<usize> = (0..entries.len()).collect();
        if elements.iter().any(Option::is_some) {
            order.sort_by_key(|place| elements[*place]);
        }
        let shape = match self.known.get(&signature) {
            Some(shape) => *shape,
            None => self.shape(entries, &order, &elements, class, record),
        };
        self.objects.push(i64::try_from(shape).unwrap_or(i64::MAX));
        for (place, column) in order.iter().zip(self.shapes[shape].columns.clone()) {
            let (row, _, below) = entries[*place];
            self.columns[column as usize].1.push(&row.content);
            if let Some(below) = below {
                let next = u32::try_from(self.classes.len()).unwrap_or(u32::MAX) + 1;
                let name = (class, record.then_some(row.key.as_str()));
                queue.push((below, *self.classes.entry(name).or_insert(next)));
            }
        }
        self.known.insert(signature, shape);
    }

    /// A shape that was not there before.
    fn shape(
        &mut self,
        entries: &[Entry<'a>],
        order: &[usize],
        elements: &[Option<Element>],
        class: Class,
        record: bool,
    ) -> usize {
        let mut keys = Keys::default();
        for place in order {
            let (row, kind, _) = entries[*place];
            match elements[*place] {
                Some(element) => keys.elements.push(element),
                None => keys.plain.push(&row.key),
            }
            let next = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
            let name = (class, record.then_some(SmolStr::as_str(&row.key)), kind);
            let column = *self.numbers.entry(name).or_insert(next);
            if column == next {
                self.columns.push((kind, Vec::new()));
            }
            keys.columns.push(column);
        }
        self.shapes.push(keys);
        self.shapes.len() - 1
    }
}

/// The rows of each object.
fn entries(base: &Base) -> Vec<Vec<Entry<'_>>> {
    let mut objects = vec![Vec::new(); base.maps().len() + 1];
    let mut maps = 0;
    for row in base.rows() {
        let below = (row.content == Content::Map).then(|| {
            maps += 1;
            maps
        });
        objects[row.object as usize].push((row, Kind::of(row), below));
    }
    objects
}

/// The bytes of a base with a head that is not deflated, so that a test can spoil what it says.
#[cfg(test)]
pub(super) fn loose(base: &Base) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    written(base).finish_loose(&mut bytes);
    bytes
}
