//! Shapes: the keys of objects, each with the column that its values are in.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use std::ops::Range;

use data_encoding::BASE64URL_NOPAD;
use smol_str::SmolStr;

use super::block::{Source, Writer};
use super::strings::{self, natural};
use super::{Limits, integers};
use crate::proto::change::leb128::{Reader, write_unsigned};
use crate::proto::reason::ChangeFault;

/// The longest key that is an [`Element`]: 8 bytes and two numbers of at most 10.
const LONGEST: usize = 38;

/// A key that is an element's id: URL-safe base64 of eight bytes and two numbers in LEB128. Ordered
/// by creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Element {
    pub(super) actor: [u8; 8],
    pub(super) count: u64,
    pub(super) sequence: u64,
}

impl Element {
    /// The id of a key, if it gives back the key.
    pub(super) fn parse(key: &str) -> Option<Self> {
        if !(14..=LONGEST).contains(&key.len()) {
            return None;
        }
        let mut buffer = [0; LONGEST];
        let bytes = buffer.get_mut(..BASE64URL_NOPAD.decode_len(key.len()).ok()?)?;
        BASE64URL_NOPAD.decode_mut(key.as_bytes(), bytes).ok()?;
        let mut reader = Reader(bytes);
        let actor = reader.array().ok()?;
        let element =
            Self { actor, sequence: reader.unsigned().ok()?, count: reader.unsigned().ok()? };
        // Base64 has one spelling, so it is the key's if the numbers have as few bytes as they can.
        let numbers = shortest(element.sequence).saturating_add(shortest(element.count));
        let length = actor.len().saturating_add(numbers);
        (reader.is_empty() && length == bytes.len()).then_some(element)
    }

    /// The key of the id.
    fn key(self, buffer: &mut Vec<u8>) -> SmolStr {
        buffer.clear();
        buffer.extend(self.actor);
        write_unsigned(buffer, self.sequence);
        write_unsigned(buffer, self.count);
        let mut text = [0; LONGEST];
        let length = BASE64URL_NOPAD.encode_len(buffer.len());
        let text = text.get_mut(..length).unwrap_or_default();
        BASE64URL_NOPAD.encode_mut(buffer, text);
        SmolStr::new(str::from_utf8(text).unwrap_or_default())
    }
}

/// How many bytes a number has in LEB128 at least.
fn shortest(number: u64) -> usize {
    let bits = u64::BITS.saturating_sub(number.leading_zeros()).max(1);
    usize::try_from(bits.div_ceil(7)).unwrap_or(usize::MAX)
}

/// The keys of an object, in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    /// Those that are no ids of elements, ascending.
    pub(super) plain: Vec<SmolStr>,
    /// The others, by creation.
    pub(super) elements: Vec<Element>,
    /// For each, in this order, the column that its value is in.
    pub(super) columns: Vec<u32>,
}

/// Appends all shapes.
pub(super) fn write(out: &mut Writer, shapes: &[Keys]) {
    let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    out.unsigned(shapes.len());
    let plain: Vec<_> = shapes.iter().map(|shape| count(shape.plain.len())).collect();
    let elements: Vec<_> = shapes.iter().map(|shape| count(shape.elements.len())).collect();
    integers::write(out, &plain);
    integers::write(out, &elements);
    let plain = shapes.iter().flat_map(|shape| &shape.plain).map(|key| key.as_bytes());
    strings::write(out, &plain.collect::<Vec<_>>(), false);
    write_elements(out, shapes.iter().flat_map(|shape| &shape.elements));
    let columns = shapes.iter().flat_map(|shape| &shape.columns).map(|column| (*column).into());
    integers::write(out, &columns.collect::<Vec<i64>>());
}

fn write_elements<'a>(out: &mut Writer, elements: impl Iterator<Item = &'a Element> + Clone) {
    let mut actors: Vec<_> = elements.clone().map(|element| element.actor).collect();
    actors.sort_unstable();
    actors.dedup();
    let mut last = vec![(0_u64, 0_u64); actors.len()];
    let (mut whose, mut sequences, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for element in elements {
        let actor = actors.binary_search(&element.actor).unwrap_or_default();
        let Some((sequence, count)) = last.get_mut(actor) else { continue };
        whose.push(i64::try_from(actor).unwrap_or(i64::MAX));
        sequences.push(element.sequence.wrapping_sub(*sequence).cast_signed());
        counts.push(element.count.wrapping_sub(*count).cast_signed());
        (*sequence, *count) = (element.sequence, element.count);
    }
    out.unsigned(actors.len());
    out.bytes(actors.as_flattened());
    integers::write(out, &whose);
    integers::write(out, &sequences);
    integers::write(out, &counts);
}

/// A key of a shape.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) key: SmolStr,
    pub(super) column: usize,
    /// How many of its shape's fields before it, as they are written, hold maps.
    pub(super) maps: usize,
}

/// All shapes, as they are read.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// The fields of all, as they are written.
    fields: Vec<Field>,
    /// For each shape the places of its fields, counted from its first, in ascending order of keys.
    order: Vec<u32>,
    shapes: Vec<Shape>,
}

/// Where the fields of a shape are, and how many of them hold maps.
#[derive(Clone, Copy, Debug)]
struct Shape {
    first: usize,
    end: usize,
    maps: usize,
}

impl Shapes {
    /// Reads all shapes. `maps` says of each column whether it holds maps.
    pub(super) fn read(
        source: &mut Source<'_>,
        maps: &[bool],
        limits: &Limits,
    ) -> Result<Self, ChangeFault> {
        let count = source.unsigned()?;
        if count > limits.rows.saturating_add(1) {
            return Err(ChangeFault::TooLarge);
        }
        let plain = integers::read(source, count)?;
        let elements = integers::read(source, count)?;
        let (plains, all_plain) = total(plain, limits.rows)?;
        let (elements, all_elements) = total(elements, limits.rows)?;
        let fields = all_plain.saturating_add(all_elements);
        if fields > limits.rows {
            return Err(ChangeFault::TooLarge);
        }
        let mut plain = read_plain(source, all_plain, limits.key)?.into_iter();
        let mut created = read_elements(source, all_elements, limits.key)?.into_iter();
        let mut columns = integers::read(source, fields)?.into_iter();
        let mut read = Self {
            fields: Vec::with_capacity(fields),
            order: Vec::with_capacity(fields),
            shapes: Vec::with_capacity(count),
        };
        for (plains, elements) in plains.into_iter().zip(elements) {
            let keys = plain.by_ref().take(plains).chain(created.by_ref().take(elements));
            read.push(keys, &mut columns, maps)?;
        }
        Ok(read)
    }

    /// Adds a shape, whose keys are these.
    fn push(
        &mut self,
        keys: impl Iterator<Item = SmolStr>,
        columns: &mut impl Iterator<Item = i64>,
        maps: &[bool],
    ) -> Result<(), ChangeFault> {
        let first = self.fields.len();
        let mut below = 0_usize;
        for key in keys {
            let column = natural(columns.next().ok_or(ChangeFault::Malformed)?)?;
            let map = maps.get(column).ok_or(ChangeFault::Malformed)?;
            self.fields.push(Field { key, column, maps: below });
            below = below.saturating_add(usize::from(*map));
        }
        let fields = self.fields.get(first..).unwrap_or_default();
        if fields.is_sorted_by(|a, b| a.key < b.key) {
            self.order.extend((0_u32..).take(fields.len()));
        } else {
            self.order.extend(sorted(fields).ok_or(ChangeFault::Malformed)?);
        }
        self.shapes.push(Shape { first, end: self.fields.len(), maps: below });
        Ok(())
    }

    /// The fields of a shape, as they are written.
    pub(super) fn fields(&self, shape: usize) -> Result<&[Field], ChangeFault> {
        self.fields.get(self.range(shape)?).ok_or(ChangeFault::Malformed)
    }

    /// The places of a shape's fields in ascending order of keys.
    pub(super) fn order(&self, shape: usize) -> Result<&[u32], ChangeFault> {
        self.order.get(self.range(shape)?).ok_or(ChangeFault::Malformed)
    }

    /// How many fields of a shape hold maps.
    pub(super) fn maps(&self, shape: usize) -> Result<usize, ChangeFault> {
        self.shapes.get(shape).map(|shape| shape.maps).ok_or(ChangeFault::Malformed)
    }

    fn range(&self, shape: usize) -> Result<Range<usize>, ChangeFault> {
        let shape = self.shapes.get(shape).ok_or(ChangeFault::Malformed)?;
        Ok(shape.first..shape.end)
    }
}

/// The places of fields in ascending order of keys. Nothing if two keys are equal.
fn sorted(fields: &[Field]) -> Option<Vec<u32>> {
    // Keys differ early: comparing their first 16 bytes at once is nearly always enough.
    let key = |place: u32| fields.get(usize::try_from(place).ok()?).map(|field| field.key.as_str());
    let begins = |key: &str| {
        let mut begin = [0; 16];
        begin.iter_mut().zip(key.bytes()).for_each(|(slot, byte)| *slot = byte);
        u128::from_be_bytes(begin)
    };
    let mut order: Vec<_> =
        fields.iter().zip(0_u32..).map(|(field, place)| (begins(&field.key), place)).collect();
    order.sort_unstable_by(|(a, at), (b, other)| a.cmp(b).then_with(|| key(*at).cmp(&key(*other))));
    let rising =
        order.is_sorted_by(|(a, at), (b, other)| a < b || (a == b && key(*at) < key(*other)));
    rising.then(|| order.into_iter().map(|(_, place)| place).collect())
}

fn total(counts: Vec<i64>, most: usize) -> Result<(Vec<usize>, usize), ChangeFault> {
    let mut all = 0_usize;
    let mut numbers = Vec::with_capacity(counts.len());
    for count in counts {
        let count = natural(count)?;
        all = all.saturating_add(count);
        if all > most {
            return Err(ChangeFault::TooLarge);
        }
        numbers.push(count);
    }
    Ok((numbers, all))
}

fn read_plain(
    source: &mut Source<'_>,
    count: usize,
    longest: usize,
) -> Result<Vec<SmolStr>, ChangeFault> {
    let strings = strings::read(source, count)?;
    let text = str::from_utf8(&strings.bytes).map_err(|_| ChangeFault::Malformed)?;
    let keys = strings.places.into_iter().map(|place| {
        if place.len() > longest {
            return Err(ChangeFault::TooLarge);
        }
        text.get(place).map(SmolStr::new).ok_or(ChangeFault::Malformed)
    });
    keys.collect()
}

fn read_elements(
    source: &mut Source<'_>,
    count: usize,
    longest: usize,
) -> Result<Vec<SmolStr>, ChangeFault> {
    let actors = source.items(8)?;
    let mut last = Vec::with_capacity(actors);
    for _ in 0..actors {
        last.push(Element { actor: source.array()?, sequence: 0, count: 0 });
    }
    let whose = integers::read(source, count)?;
    let sequences = integers::read(source, count)?;
    let counts = integers::read(source, count)?;
    let mut buffer = Vec::new();
    let steps = sequences.into_iter().zip(counts);
    let keys = whose.into_iter().zip(steps).map(|(actor, (sequence, count))| {
        let element = last.get_mut(natural(actor)?).ok_or(ChangeFault::Malformed)?;
        element.sequence = element.sequence.wrapping_add_signed(sequence);
        element.count = element.count.wrapping_add_signed(count);
        let key = element.key(&mut buffer);
        if key.len() > longest { Err(ChangeFault::TooLarge) } else { Ok(key) }
    });
    keys.collect()
}
